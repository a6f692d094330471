"""`torch2tfds plan`, `work` and `publish`: an export by processes that know nothing of each other, such as those of an array job.

    torch2tfds plan my_project.data:make_loaders /shared --name images        -> /shared/images/1.0.0.incomplete
    torch2tfds work /shared/images/1.0.0.incomplete --rank 0 --world 4        on any machines, in any order
    torch2tfds publish /shared/images/1.0.0.incomplete

The plan says where each shard begins. Rank R of W writes each W-th of them from the R-th on, in files that nobody else writes,
and notes those that are finished; whoever publishes finds all of them, as after a stop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import json
import os
import pathlib
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from exporters import wording
from exporters.command.arguments import Json, ShowProgress, export_arguments, to_path
from exporters.command.factory import load_factory
from exporters.errors import AlreadyPublishedError, ArgumentError, BrokenInstallError, ResumeError
from exporters.export import Call, opened, published
from exporters.staging.contents import COMMAND_NOTE
from tfds_builder.install import check_tfds

_SUFFIX = ".incomplete"
_PATHS = ("data_dir", "app_dir", "features")
_LEFT_OUT = ("overwrite", "engine", "engine_option")
"""Options of `export` that `plan` has not: what is planned is nobody's yet, and ranks are the engine."""
_RANKED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "NODE_RANK")
"""What torchrun and its like say of a rank to a dataset."""
Stage = Annotated[pathlib.Path, typer.Argument(metavar="STAGE", help="What torch2tfds plan has printed.", parser=to_path)]
OtherAppDir = Annotated[
    pathlib.Path | None,
    typer.Option("--app-dir", help="Where MODULE is here, if not where plan had it.", parser=to_path, metavar="PATH"),
]


def planning(export: Callable[..., None]) -> Callable[..., None]:
    """The command `plan`, which has the options of the command `export`."""
    signature, hints = inspect.signature(export), typing.get_type_hints(export, include_extras=True)
    names = [name for name in signature.parameters if name not in _LEFT_OUT]

    def plan(**given: Any) -> None:
        """Plan an export that ranks will write: settle features, order and shards; print its STAGE."""
        _plan(given)

    plan.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[signature.parameters[name].replace(annotation=hints[name]) for name in names]
    )
    plan.__annotations__ = {name: hints[name] for name in names} | {"return": None}
    return plan


def _plan(given: Mapping[str, Any]) -> None:
    call = _call_of(given, given["data_dir"])
    with opened(call, divides=True) as (stage, job, _):
        shards = job.plan()
        noted = {name: os.fspath(value.absolute()) if name in _PATHS and value else value for name, value in given.items()}
        stage.notes.write(COMMAND_NOTE, json.dumps(noted, indent=1, sort_keys=True).encode())
    if given["as_json"]:
        print(json.dumps({"stage": os.fspath(stage.path), "shards": shards}))
        return
    print(stage.path)


def work(
    stage: Stage,
    rank: Annotated[int | None, typer.Option(help="Which part: 0 to W-1; RANK, or that of SLURM_ARRAY_TASK_ID.")] = None,
    world: Annotated[int | None, typer.Option(help="How many parts; WORLD_SIZE, or SLURM_ARRAY_TASK_COUNT.")] = None,
    app_dir: OtherAppDir = None,
    progress: ShowProgress = None,
) -> None:
    """Write the shards of one rank into a STAGE that plan has made. Run again, it writes what is missing of them."""
    rank, world = _rank_of(rank, world, os.environ)
    with _rank_hidden():
        call = _read_call(stage, app_dir, progress)
        with opened(call, joins=True) as (_, job, _):
            written, own = job.write_share(rank, world)
    print(f"rank {rank} of {world}: wrote {written} of its {own}")


def publish(stage: Stage, app_dir: OtherAppDir = None, progress: ShowProgress = None, as_json: Json = False) -> None:
    """Publish a STAGE whose ranks have written all shards."""
    call = _read_call(stage, app_dir, progress)
    with opened(call) as (place, job, watch):
        if missing := job.missing():
            lacking = ", ".join(f"{tasks} of split {split!r}" for split, tasks in missing.items())
            raise ResumeError(f"{stage} lacks {lacking}: torch2tfds work {stage} --rank R --world W writes those of a rank")
        for split in job.splits:
            job.write_split(split)
        manifest = job.publish()
    result = published(call, place, manifest, watch)
    if as_json:
        print(json.dumps(dataclasses.asdict(result), indent=2))
        return
    counts = ", ".join(f"{split} {wording.plural(count, 'example')}" for split, count in result.examples.items())
    print(f"published {result.path} ({counts}, {result.bytes:,} bytes)")


def _read_call(stage: pathlib.Path, app_dir: pathlib.Path | None, progress: bool | None) -> Call:
    """What `plan` was told, with loaders that are made here."""
    stage = stage.absolute()
    note = stage.with_name(stage.name.removesuffix(_SUFFIX) + ".resume") / COMMAND_NOTE
    try:
        given: dict[str, Any] = json.loads(note.read_bytes())
        above = 2 if given["config"] is None else 3
    except (OSError, ValueError, LookupError, TypeError) as error:
        if (target := stage.with_name(stage.name.removesuffix(_SUFFIX))) != stage and target.is_dir():
            with contextlib.suppress(OSError):
                note.parent.rmdir()  # all that may be left where publishing was cut off at its end
            raise AlreadyPublishedError(f"{target} is already published") from error
        raise ArgumentError(
            f"{stage} is no planned export ({error}); give what torch2tfds plan has printed, NAME/VERSION{_SUFFIX} in a data_dir"
        ) from error
    given |= {name: pathlib.Path(given[name]) for name in _PATHS if given[name]} | {"progress": progress}
    return _call_of(given | ({"app_dir": app_dir} if app_dir else {}), stage.parents[above - 1])


def _call_of(given: Mapping[str, Any], data_dir: pathlib.Path) -> Call:
    check_tfds(BrokenInstallError)  # the user's module may import TFDS
    arguments = export_arguments(given)
    return Call(load_factory(given["factory"], given["app_dir"]), data_dir, **arguments)


def _rank_of(rank: int | None, world: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Which part of how many, as the command says it, or else the environment: that of torchrun, or of an array job of Slurm's.

    Raises:
      ArgumentError: neither says it, or it makes no sense.
    """
    read = functools.partial(_number, environment)
    task, first, step = read("SLURM_ARRAY_TASK_ID"), read("SLURM_ARRAY_TASK_MIN"), read("SLURM_ARRAY_TASK_STEP")
    if rank is None:
        rank = read("RANK")
    if rank is None and task is not None:
        rank = (task - (first or 0)) // (step or 1)
    if world is None:
        world = read("WORLD_SIZE")
    if world is None:
        world = read("SLURM_ARRAY_TASK_COUNT")
    if rank is None or world is None:
        raise ArgumentError(
            "--rank and --world say which part of how many; nor does the environment say it (RANK and WORLD_SIZE, or "
            "SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT)"
        )
    if not 0 <= rank < world:
        raise ArgumentError(f"--rank must be 0 to {world - 1}, one less than --world (got {rank} of {world})")
    return rank, world


@contextlib.contextmanager
def _rank_hidden() -> Iterator[None]:
    """Takes out of the environment which rank this is: a dataset that reads it (`webdataset.split_by_node`) would divide itself
    by it, and the plan divides the same data once more."""
    hidden = {name: value for name in _RANKED if (value := os.environ.pop(name, None)) is not None}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdecimal():
        raise ArgumentError(f"{name} must be a number (got {text!r:.80}); or give --rank and --world")
    return int(text)
