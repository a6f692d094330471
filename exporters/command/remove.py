"""`torch2tfds rm` and `gc`: they say what would go, and ask."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
import time
from typing import Annotated

import typer

from exporters import wording
from exporters.command.arguments import Json, VersionDir, to_path
from exporters.errors import ArgumentError, DataDirError
from tfds_builder.contract.untrusted import printable

RM_EPILOG = (
    "Only what an export wrote is removed; anything else in the directory is named, and nothing is touched. An export that is "
    "writing or has stopped half-way at this version refuses it, and so does a process that reads it through torch2tfds. Stock "
    "TFDS holds no lock, and a process on another machine is seen only if the file system passes its locks on."
)
GC_EPILOG = (
    "A stage is what an export has written so far; one that was stopped goes on from it when it is run again, and begins anew "
    "once it is gone. Without --yes nothing is removed. A stage that a process holds is never removed; a process on another "
    "machine is seen only if the file system passes its locks on."
)
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def rm(path: VersionDir, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a published version. Asks first, unless --yes is given."""
    from exporters.removal import remove_version
    from tfds_builder.catalog.location import read_given

    manifest = read_given(path)
    size = sum(file.bytes for file in manifest.files)
    count = sum(split.examples for split in manifest.splits.values())
    what = f"{manifest.tfds_name} in {path} ({wording.plural(count, 'example')}, {size:,} bytes)"
    if not yes and not _ask(f"remove {what} for good?"):
        raise typer.Exit(1)
    remove_version(path)
    if as_json:
        print(json.dumps({"removed": manifest.tfds_name, "path": str(path), "bytes": size}, indent=2))
    else:
        print(printable(f"removed {what}"))


def _ask(question: str) -> bool:
    """Whether the person at the terminal says yes.

    Raises:
      ArgumentError: there is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise ArgumentError(f"{question} nobody can be asked, as standard input is no terminal; add --yes")
    print(printable(f"{question} [y/N] "), end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def gc(
    data_dir: Annotated[pathlib.Path, typer.Argument(metavar="DATA_DIR", help="Where datasets are published.", parser=to_path)],
    yes: Annotated[bool, typer.Option("--yes", help="Remove those that no process holds.")] = False,
    as_json: Json = False,
) -> None:
    """List what exports that were stopped have left under DATA_DIR; with --yes, remove it.

    Exits 1 if something that no process holds could not be removed.
    """
    from exporters.removal import find_left, remove_left

    found = find_left(data_dir)
    rows, failed = [], False
    for left in found:
        state, problem = "held" if left.is_held else "forgotten", left.problem
        if yes and not left.is_held:
            try:
                remove_left(data_dir, left)
                state = "removed"
            except (DataDirError, OSError) as error:
                problem, failed = str(error), True
        age = max(0.0, time.time() - left.modified)
        rows.append({**dataclasses.asdict(left), "state": state, "problem": problem, "age_seconds": round(age)})
        if not as_json:
            name = "/".join(filter(None, (left.name, left.config, left.version)))
            shards = wording.plural(left.finished_shards, "finished shard")
            line = f"{name}  {state}  {left.bytes:,} bytes  {shards}  last written {_age(age)} ago"
            print(printable(f"{line}: {problem}" if problem else line))
    if as_json:
        print(json.dumps(rows, indent=2))
    elif not rows:
        print(printable(f"nothing is left behind under {data_dir}"))
    elif not yes and any(row["state"] == "forgotten" for row in rows):
        print("--yes removes what is forgotten; an export that would go on from it then begins anew")
    raise typer.Exit(1 if failed else 0)


def _age(seconds: float) -> str:
    """A time in its largest unit.

    >>> _age(7300), _age(90)
    ('2 hours', '1 minute')
    """
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return wording.plural(int(seconds // size), unit)
    return wording.plural(int(seconds), "second")
