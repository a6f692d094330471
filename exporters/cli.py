"""`torch2tfds`: the command line. Imports torch only to export, TensorFlow only for the demo."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import logging
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn, cast

import typer

from exporters import array_jobs, wording
from exporters.command import blame, diff, head, preview, remove, stats
from exporters.command.arguments import (
    AppDir,
    ClassNames,
    Engine,
    EngineOptions,
    Factory,
    FeaturesFile,
    Integers,
    Json,
    Layouts,
    Renames,
    ShowProgress,
    Supervised,
    Unpad,
    VersionDir,
    engine_options,
    export_arguments,
    to_path,
)
from exporters.errors import ArgumentError, BrokenInstallError, ExportError
from exporters.version import __version__
from tfds_builder.errors import DatasetError
from tfds_builder.install import check_tfds

app = typer.Typer(
    help="Drain a PyTorch DataLoader once, publish TFRecord or HDF5 shards, tfds.load them for ever after.",
    no_args_is_help=True,
    epilog="Begin with: torch2tfds export --help, or torch2tfds demo, which shows the whole way.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


_how = functools.partial(typer.Option, rich_help_panel="How it is done")
_about = functools.partial(typer.Option, rich_help_panel="What a person should know")


def _show_version(value: bool) -> None:
    if value:
        print(f"torch2tfds {__version__}")
        _warn_of_other(pathlib.Path())
        raise typer.Exit


def _warn_of_other(directory: pathlib.Path) -> None:
    """Says on stderr if Python, started in a directory, would find another package `exporters` there than ours."""
    from tfds_builder.command import explain_other

    if told := explain_other([os.fspath(directory.absolute()), *sys.path]):
        print(f"torch2tfds: warning: in {directory.absolute()}, {told}", file=sys.stderr)


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    context.with_resource(wording.command_line())


@app.command(
    epilog="Examples, where my_project/data.py has a function make_loaders:\n\n"
    "torch2tfds export my_project.data:make_loaders data --name images\n\n"
    "torch2tfds export my_project.data:make_loaders data --name images --format hdf5\n\n"
    "torch2tfds export my_project.data:make_loaders data --name images --classes a,b\n\n"
    "Then, in Python: tfds_builder.register('data'); tfds.load('images')"
)
def export(
    factory: Factory,
    data_dir: Annotated[pathlib.Path, typer.Argument(metavar="DATA_DIR", help="Where datasets are published.", parser=to_path)],
    name: Annotated[str, typer.Option(help="Dataset name, lower_snake_case.")],
    version: Annotated[str, typer.Option(help="Version, x.y.z.")] = "1.0.0",
    format: Annotated[str, typer.Option(help="tfrecord or hdf5.")] = "tfrecord",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the version if it is published already.")] = False,
    app_dir: AppDir = pathlib.Path(),
    layout: Layouts = None,
    rename: Renames = None,
    classes: ClassNames = None,
    supervised: Supervised = None,
    features: FeaturesFile = None,
    unpad: Unpad = None,
    integers: Integers = None,
    shard_mib: Annotated[float, _how(help="Target size of a shard, MiB.")] = 256.0,
    on_hazard: Annotated[
        list[str] | None,
        _how(
            metavar="[HAZARD=]ACTION",
            help="error, warn or ignore what loses, repeats or freezes data; or one hazard; repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int | None, _how(help="Seed the global generators before each batch, so that random data depends on no worker.")
    ] = None,
    engine: Engine = "local",
    engine_option: EngineOptions = None,
    progress: ShowProgress = None,
    as_json: Json = False,
    config: Annotated[str | None, _about(help='One of several configurations, tfds.load("NAME/CONFIG").')] = None,
    config_description: Annotated[str, _about(help="What sets the config apart.")] = "",
    release_notes: Annotated[list[str] | None, _about(metavar="VERSION=TEXT", help="What changed; repeatable.")] = None,
    description: Annotated[str, _about(help="What the dataset is.")] = "",
    homepage: Annotated[str, _about(help="A URL.")] = "",
    citation: Annotated[str, _about(help="BibTeX.")] = "",
    license: Annotated[str, _about(help="Its licence.")] = "",
) -> None:
    """Export what MODULE:FACTORY returns to DATA_DIR/NAME/VERSION, or DATA_DIR/NAME/CONFIG/VERSION."""
    given = dict(locals())
    from exporters.command.factory import load_factory
    from exporters.export import export as run

    _warn_of_other(app_dir)
    check_tfds(BrokenInstallError)  # the user's module may import TFDS
    arguments = export_arguments(given)
    loaders = load_factory(factory, app_dir)
    with _warnings_in_a_line(), _stop_in_a_line():
        result = run(
            loaders,
            data_dir,
            **arguments,
            overwrite=overwrite,
            engine=cast(Any, engine),  # `export` refuses what it does not know
            engine_options=engine_options(engine_option),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(result), indent=2))
        return
    counts = ", ".join(f"{split} {wording.plural(count, 'example')}" for split, count in result.examples.items())
    print(f"published {result.path} ({counts}, {result.bytes:,} bytes)")


def _quietly(run: Callable[..., None]) -> Callable[..., None]:
    """A command that exports: our warnings, and a stop, are a line each."""

    @functools.wraps(run)
    def command(*args: Any, **options: Any) -> None:
        with _warnings_in_a_line(), _stop_in_a_line():
            run(*args, **options)

    return command


app.command(name="plan")(_quietly(array_jobs.planning(export)))
app.command()(_quietly(array_jobs.work))
app.command()(_quietly(array_jobs.publish))


@app.command()
def verify(
    path: VersionDir,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every value too.")] = False,
    progress: ShowProgress = None,
    as_json: Json = False,
) -> None:
    """Check every file, size, SHA-256 and record CRC of a published version. Exits 1 if it is damaged."""
    from exporters.reports import show

    raise typer.Exit(show.verify(path, deep, as_json, progress))


@app.command(name="list")
def list_datasets(
    data_dir: Annotated[
        pathlib.Path | None,
        typer.Argument(
            metavar="DATA_DIR",
            help="Where datasets are published; left out, what TORCH2TFDS_PATH and ~/.config/torch2tfds/catalogs.toml name.",
            parser=to_path,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List every dataset, config and version published under DATA_DIR, or under every directory of your search path."""
    from exporters.reports import show

    show.list_datasets(data_dir, as_json)


@app.command()
def info(path: VersionDir, as_json: Json = False) -> None:
    """Show what a published version holds: features, layouts, splits, shards."""
    from exporters.reports import show

    show.info(path, as_json)


app.command(epilog=stats.EPILOG)(stats.stats)
app.command(epilog=diff.EPILOG)(diff.diff)
app.command(epilog=head.EPILOG)(head.head)
app.command(epilog=preview.EPILOG)(preview.preview)
app.command(epilog=remove.RM_EPILOG)(remove.rm)
app.command(epilog=remove.GC_EPILOG)(remove.gc)


@app.command()
def catalog(
    data_dir: Annotated[pathlib.Path, typer.Argument(metavar="DATA_DIR", help="Where datasets are published.", parser=to_path)],
    out: Annotated[
        pathlib.Path | None,
        typer.Option(help="Directory of the site; DATA_DIR/_catalog by default.", parser=to_path, metavar="SITE"),
    ] = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Whether pages show images and play sounds.")] = True,
    data_dir_shown: Annotated[
        str | None, typer.Option(metavar="PATH", help="What pages call DATA_DIR, where readers know it by another path.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--verify", help="Verify every version first; pages say when, and what was found.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the site to this machine alone, and keep it up to date, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve it; 0 for a port that is free.")] = 8000,
    progress: ShowProgress = None,
    as_json: Json = False,
) -> None:
    """Make a site of static pages of what is published under DATA_DIR, or bring it up to date.

    Exits 1 if --verify finds damage.
    """
    from exporters.reports import site

    options = site.Options(data_dir, out, images, data_dir_shown, check)
    raise typer.Exit(site.catalog(options, as_json, progress, port if serve else None))


@app.command()
def generate(
    path: VersionDir,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(help="Where to write it; beside the version by default.", parser=to_path, metavar="FILE"),
    ] = None,
) -> None:
    """Write the builder module of a published version again."""
    from tfds_builder.catalog.builder_module import generate as run

    try:
        print(run(path, output))
    except OSError as error:
        if isinstance(error, DatasetError):
            raise
        raise ArgumentError(f"cannot write the module: {error}; say where with --output FILE") from error


@app.command()
def demo(
    out: Annotated[pathlib.Path, typer.Option(help="Where to publish.", parser=to_path, metavar="PATH")] = pathlib.Path("demo"),
) -> None:
    """Export scikit-learn's digits to both formats, load them back, train a Keras model on each."""
    from exporters.demo import run

    raise typer.Exit(run(out))


@contextlib.contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Our own warnings as a line on stderr each, every time; those of others as they were."""
    import warnings

    from exporters.errors import ExportWarning
    from tfds_builder.errors import DatasetWarning

    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_in_a_line(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ExportWarning | DatasetWarning):
                print(f"torch2tfds: warning: {message}", file=sys.stderr)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = show_in_a_line
        warnings.simplefilter("always", ExportWarning)
        warnings.simplefilter("always", DatasetWarning)
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
        print(f"torch2tfds: stopped; {how}", file=sys.stderr)
        raise typer.Exit(code) from None


def _notes(error: BaseException) -> list[str]:
    """What was added to an exception: how to go on after it."""
    return list(getattr(error, "__notes__", ()))


def main() -> None:
    """Entry point: our own errors, and those of the disk about our own files, become one line on stderr and exit code 2; what
    the user's own code raises passes through. What a terminal has no letters for is escaped.

    Nothing here prints by `typer.echo`, which writes UTF-8 to a terminal that says it has ASCII only.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("absl").addFilter(lambda record: "OpenCV is not installed" not in record.getMessage())
    try:
        app()
    except (ExportError, DatasetError) as error:
        _tell(str(error), error)
    except OSError as error:
        if not blame.is_ours(error):
            raise
        _tell(blame.explain(error), error)


def _tell(text: str, error: BaseException) -> NoReturn:
    """Prints what is wrong, and how to go on after it; ends the process with exit code 2."""
    from tfds_builder.contract.untrusted import printable

    print("torch2tfds: " + "\n".join(map(printable, [*text.split("\n"), *_notes(error)])), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
