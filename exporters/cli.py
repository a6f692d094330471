"""`torch2tfds`: the command line. Imports torch only to export, TensorFlow only for the demo."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import json
import math
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from exporters import wording
from exporters.errors import ArgumentError, ExportError
from exporters.version import __version__
from tfds_builder.errors import DatasetError

app = typer.Typer(
    help="Drain a PyTorch DataLoader once, publish TFRecord or HDF5 shards, tfds.load them for ever after.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
VersionDir = Annotated[
    pathlib.Path,
    typer.Argument(metavar="PATH", help="A published version: DATA_DIR/NAME/VERSION, or of a config."),
]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"torch2tfds {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    context.with_resource(wording.command_line())


@app.command()
def export(
    factory: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FACTORY",
            help="A callable without arguments that returns a DataLoader, or a mapping of split name to DataLoader.",
        ),
    ],
    data_dir: Annotated[pathlib.Path, typer.Argument(metavar="DATA_DIR", help="Where datasets are published.")],
    name: Annotated[str, typer.Option(help="Dataset name, lower_snake_case.")],
    version: Annotated[str, typer.Option(help="Version, x.y.z.")] = "1.0.0",
    config: Annotated[str | None, typer.Option(help='One of several configurations, tfds.load("NAME/CONFIG").')] = None,
    config_description: Annotated[str, typer.Option(help="What sets the config apart.")] = "",
    release_notes: Annotated[
        list[str] | None, typer.Option(metavar="VERSION=TEXT", help="What changed in a version; repeatable.")
    ] = None,
    format: Annotated[str, typer.Option(help="tfrecord or hdf5.")] = "tfrecord",
    layout: Annotated[list[str] | None, typer.Option(metavar="FEATURE=LAYOUT", help="Such as image=NCHW; repeatable.")] = None,
    rename: Annotated[list[str] | None, typer.Option(metavar="OLD=NEW", help="Rename a feature; repeatable.")] = None,
    unpad: Annotated[
        list[str] | None,
        typer.Option(metavar="FEATURE=LENGTH", help="Store without padding, by lengths or a mask; repeatable."),
    ] = None,
    shard_mib: Annotated[float, typer.Option(help="Target size of a shard, MiB.")] = 256.0,
    overwrite: Annotated[bool, typer.Option(help="Replace the version if it is published already.")] = False,
    on_hazard: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[HAZARD=]ACTION",
            help="error, warn or ignore what loses, repeats or freezes data; or one hazard; repeatable.",
        ),
    ] = None,
    description: Annotated[str, typer.Option(help="What the dataset is.")] = "",
    homepage: Annotated[str, typer.Option(help="A URL.")] = "",
    citation: Annotated[str, typer.Option(help="BibTeX.")] = "",
    license: Annotated[str, typer.Option(help="Its licence.")] = "",
    app_dir: Annotated[pathlib.Path, typer.Option(help="Directory MODULE is looked for in first.")] = pathlib.Path(),
    as_json: Json = False,
) -> None:
    """Export what MODULE:FACTORY returns to DATA_DIR/NAME/VERSION, or DATA_DIR/NAME/CONFIG/VERSION."""
    from exporters.card import Card
    from exporters.config import Config
    from exporters.export import export as run

    if config is None and config_description:
        raise ArgumentError("--config-description is of a config; name it with --config")
    loaders = load_factory(factory, app_dir)
    with _warnings_in_a_line(), _stop_in_a_line():
        result = run(
            loaders,
            data_dir,
            name=name,
            version=version,
            config=None if config is None else Config(config, config_description),
            release_notes=_pairs(release_notes, "--release-notes"),
            format=format,
            layouts=_pairs(layout, "--layout"),
            names=_pairs(rename, "--rename") or None,
            unpad=_pairs(unpad, "--unpad"),
            shard_bytes=_to_bytes(shard_mib),
            overwrite=overwrite,
            on_hazard=_pairs([text if "=" in text else f"default={text}" for text in on_hazard or ()], "--on-hazard"),
            card=Card(description=description, homepage=homepage, citation=citation, license=license),
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result), indent=2))
        return
    counts = ", ".join(f"{split} {count:,}" for split, count in result.examples.items())
    typer.echo(f"published {result.path} ({counts} examples, {result.bytes:,} bytes)")


@app.command()
def verify(
    path: VersionDir,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every value too.")] = False,
    as_json: Json = False,
) -> None:
    """Check every file, size, SHA-256 and record CRC of a published version. Exits 1 if it is damaged."""
    from tqdm import tqdm

    from tfds_builder.validators import printable
    from tfds_builder.verify import verify as run

    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, desc="verify", disable=None) as bar:
        report = run(path, bar.update, deep=deep)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        for problem in report.problems:
            typer.echo(printable(str(problem)))
        if report.not_decoded:
            typer.echo(printable(f"not decoded, which takes TensorFlow: {', '.join(report.not_decoded)}"))
        verdict = f"{len(report.problems)} problems" if report.problems else "whole"
        typer.echo(f"{path}: {verdict} ({report.files:,} files, {report.bytes:,} bytes, {report.records:,} records)")
    raise typer.Exit(1 if report.problems else 0)


@app.command(name="list")
def list_datasets(
    data_dir: Annotated[pathlib.Path, typer.Argument(metavar="DATA_DIR", help="Where datasets are published.")],
    as_json: Json = False,
) -> None:
    """List every dataset, config and version published under DATA_DIR."""
    from tfds_builder import manifest as manifest_lib
    from tfds_builder.registration import scan
    from tfds_builder.validators import printable

    rows: list[dict[str, Any]] = []
    for entry in scan(data_dir):
        try:
            rows.append(_summary(manifest_lib.read(entry.path), entry.path))
        except DatasetError as error:
            rows.append({**dataclasses.asdict(entry), "problem": str(error)})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        if "problem" in row:
            typer.echo(printable(f"{_tfds_name(row)}  damaged: {row['problem']}"))
            continue
        counts = ", ".join(f"{split} {count:,}" for split, count in row["examples"].items())
        typer.echo(f"{_tfds_name(row)}  {row['format']}  {row['bytes']:,} bytes  {counts}")
    if not rows:
        typer.echo(f"nothing is published under {data_dir}")


@app.command()
def info(path: VersionDir, as_json: Json = False) -> None:
    """Show what a published version holds: features, layouts, splits, shards."""
    from tfds_builder import manifest as manifest_lib
    from tfds_builder.validators import printable

    manifest = manifest_lib.read(path)
    columns = [column.to_json() for column in manifest.columns]
    if as_json:
        extra = {
            "columns": columns,
            "labels": dict(manifest.labels),
            "card": dict(manifest.card),
            "config_description": manifest.config_description,
            "release_notes": dict(manifest.release_notes),
        }
        typer.echo(json.dumps({**_summary(manifest, os.fspath(path)), **extra}, indent=2))
        return
    typer.echo(f"{manifest.tfds_name}  {manifest.format}  {os.fspath(path)}")
    notes = (f"{version}: {text}" for version, text in manifest.release_notes.items())
    for text in filter(None, (manifest.config_description, *manifest.card.values(), *notes)):
        typer.echo("\n".join(f"  {printable(line)}" for line in text.split("\n")))
    for decision in manifest.decisions:
        typer.echo(f"  {printable(decision)}")
    for split, content in manifest.splits.items():
        typer.echo(f"  {split}: {content.examples:,} examples in {len(content.shards)} shards, {content.bytes:,} bytes")


@app.command()
def generate(
    path: VersionDir,
    output: Annotated[pathlib.Path | None, typer.Option(help="Where to write it; beside the version by default.")] = None,
) -> None:
    """Write the builder module of a published version again."""
    from tfds_builder.generate import generate as run

    try:
        typer.echo(run(path, output))
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise ArgumentError(f"cannot write the module: {error}; say where with --output FILE") from error


@app.command()
def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Where to publish.")] = pathlib.Path("demo"),
) -> None:
    """Export scikit-learn's digits to both formats, load them back, train a Keras model on each."""
    from exporters.demo import run

    raise typer.Exit(run(out))


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Our own warnings as a line on stderr each, every time; those of others as they were."""
    import warnings

    from exporters.errors import HazardWarning

    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_in_a_line(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, HazardWarning):
                typer.echo(f"torch2tfds: warning: {message}", err=True)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = show_in_a_line
        warnings.simplefilter("always", HazardWarning)
        yield


@contextlib.contextmanager
def _stop_in_a_line() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the process with exit code 130 or 143, and a line on stderr that says how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else error.code
        if code not in (130, 143):
            raise
        how = "\n".join(_notes(error)) or f"no shard was finished: {wording.again()} to begin anew"
        typer.echo(f"torch2tfds: stopped; {how}", err=True)
        raise typer.Exit(code) from None


def _notes(error: BaseException) -> list[str]:
    """What was added to an exception: how to go on after it."""
    return list(getattr(error, "__notes__", ()))


def load_factory(text: str, app_dir: pathlib.Path) -> Any:
    """Imports MODULE:FACTORY, calls it, and returns what it returned.

    Raises:
      ArgumentError: it is not of that form, does not import, is not callable or returns neither a DataLoader nor a mapping.
        An exception of the factory itself passes through.
    """
    from collections.abc import Mapping

    from exporters.items import is_loader

    module_name, colon, path = text.partition(":")
    if not module_name or module_name.startswith(".") or not colon or not path:
        raise ArgumentError(f'expected MODULE:FACTORY, such as "my_project.data:make_loaders" (got {text!r})')
    sys.path.insert(0, os.fspath(app_dir.absolute()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something it imports is not
        raise ArgumentError(
            f"cannot import module {module_name!r} (looked in {app_dir.absolute()} first; see --app-dir)"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ArgumentError(f"module {module_name!r} has no attribute {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ArgumentError(f"{text} must be a callable without arguments (got {type(found).__name__}); wrap it in a function")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise ArgumentError(f"{text} must be a callable without arguments ({error}); wrap it in a function") from error
    loaders = found()
    if not is_loader(loaders) and not isinstance(loaders, Mapping):
        raise ArgumentError(
            f"{text} must return a DataLoader or a mapping of split name to DataLoader (got {type(loaders).__name__})"
        )
    return loaders


def _to_bytes(mebibytes: float) -> int:
    if not math.isfinite(mebibytes) or mebibytes <= 0:
        raise ArgumentError(f"--shard-mib must be a positive number of MiB (got {mebibytes})")
    return wording.to_bytes(mebibytes)


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or ():
        left, equals, right = text.partition("=")
        if not left or not equals or not right:
            raise ArgumentError(f"{option} takes NAME=VALUE (got {text!r})")
        pairs[left] = right
    return pairs


def _summary(manifest: Any, path: str) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "config": manifest.config_name,
        "version": manifest.version,
        "format": manifest.format,
        "path": path,
        "examples": {split: content.examples for split, content in manifest.splits.items()},
        "shards": {split: len(content.shards) for split, content in manifest.splits.items()},
        "bytes": sum(file.bytes for file in manifest.files),
        "decisions": list(manifest.decisions),
    }


def _tfds_name(row: dict[str, Any]) -> str:
    config = f"/{row['config']}" if row["config"] else ""
    return f"{row['name']}{config}:{row['version']}"


def main() -> None:
    """Entry point: our own errors become one line on stderr and exit code 2."""
    try:
        app()
    except (ExportError, DatasetError) as error:
        from tfds_builder.validators import printable

        lines = [*str(error).split("\n"), *_notes(error)]
        typer.echo("torch2tfds: " + "\n".join(map(printable, lines)), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
