"""What `torch2tfds catalog` prints: where the site of a directory of datasets is, and, with `--serve`, its address."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sys

from exporters import wording
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.untrusted import printable
from tfds_builder.site.build import Built, build
from tfds_builder.site.place import DEFAULT


@dataclasses.dataclass(frozen=True)
class Options:
    """What is built: the arguments of `tfds_builder.site.build.build` of these names; `check` is its `verify`."""

    data_dir: pathlib.Path
    out: pathlib.Path | None
    images: bool
    data_dir_shown: str | None
    check: bool


def catalog(options: Options, as_json: bool, progress: bool | None, port: int | None) -> int:
    """Builds a catalog's site, and prints where it is.

    Args:
      options: of which directory, and how.
      as_json: print JSON.
      progress: show a bar; None if somebody is looking.
      port: serve it there afterwards, until Ctrl-C; None to be done.

    Returns:
      The exit code: 0, or 1 if a version was verified and is damaged.

    Raises:
      SiteError: there can be no site there, or the port is taken.
    """
    built = _build(options, progress)
    if as_json:
        print(json.dumps(dataclasses.asdict(built), indent=2))
    else:
        _tell_problems(built)
        if options.check:
            _tell_verified(built)
        print(printable(f"{built.index} ({wording.plural(built.versions, 'version')}, {built.written} made anew)"))
    if port is not None:
        _serve(options, port)
    return 1 if built.damaged else 0


def _build(options: Options, progress: bool | None) -> Built:
    from exporters.progress import Progress
    from exporters.version import __version__

    with Progress(progress, None, "catalog", unit="versions") as bar:
        return build(
            options.data_dir,
            options.out,
            images=options.images,
            data_dir_shown=options.data_dir_shown,
            verify=options.check,
            verified_by=f"torch2tfds {__version__}",
            on_versions=bar.add,
        )


def _tell_verified(built: Built) -> None:
    for name, problems in built.damaged.items():
        for problem in problems:
            print(printable(f"{name}: damaged: {problem}"))
    found = f"{len(built.damaged):,} damaged" if built.damaged else "all whole" if built.verified > 1 else "whole"
    print(f"{wording.plural(built.verified, 'version')} verified: {found}")


def _tell_problems(built: Built) -> None:
    for name, problem in built.problems.items():
        print(printable(f"torch2tfds: warning: {name}: {problem}"), file=sys.stderr)


def _serve(options: Options, port: int) -> None:
    """Serves the site and builds it again and again; what is verified was so before."""
    from tfds_builder.site.serve import Server

    again = dataclasses.replace(options, check=False)
    out = options.data_dir / DEFAULT if options.out is None else options.out

    def tell(built: Built) -> None:
        _tell_problems(built)
        print(f"up to date again: {wording.plural(built.versions, 'version')}, {built.written} made anew", file=sys.stderr)

    with Server(Directory.given(out).absolute(), port) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"serving {server.url} to this machine; Ctrl-C ends it", file=sys.stderr, flush=True)
        server.keep_up_to_date(lambda: _build(again, False), tell)
