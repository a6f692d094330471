"""What `torch2tfds preview` prints, and the picture or page it makes: the first examples before anything is written."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exporters import wording
from exporters.command import arguments
from exporters.command.arguments import (
    AppDir,
    ClassNames,
    Factory,
    FeaturesFile,
    Integers,
    Json,
    Layouts,
    Renames,
    Supervised,
    Unpad,
    to_path,
)
from exporters.command.head import as_json as to_json
from exporters.command.head import describe, flatten
from exporters.errors import ArgumentError, BrokenInstallError
from tfds_builder.contract.untrusted import printable
from tfds_builder.install import check_tfds

if TYPE_CHECKING:
    from exporters.preview import Preview, SplitPreview

EPILOG = (
    "The first batch of each split is drawn, and nothing is written. Options are those of export: what is shown is what it would "
    "do.\n\nExamples:\n\ntorch2tfds preview my_project.data:make_loaders\n\n"
    "torch2tfds preview my_project.data:make_loaders --layout image=NCHW --out page.html"
)


def preview(
    factory: Factory,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="How many examples of each split.")] = 3,
    out: Annotated[
        pathlib.Path | None,
        typer.Option(
            help="Write a page (.html), or a picture of the images (.png, .jpg, .webp).", parser=to_path, metavar="FILE"
        ),
    ] = None,
    app_dir: AppDir = pathlib.Path(),
    layout: Layouts = None,
    rename: Renames = None,
    classes: ClassNames = None,
    supervised: Supervised = None,
    features: FeaturesFile = None,
    unpad: Unpad = None,
    integers: Integers = None,
    as_json: Json = False,
) -> None:
    """Show what export would make of what MODULE:FACTORY returns: features before and after, decisions, hazards, first rows."""
    from exporters.command.factory import load_factory

    if out is not None and out.suffix.lower() not in (".html", ".png", ".jpg", ".jpeg", ".webp"):
        raise ArgumentError(f"--out must end with .html, .png, .jpg or .webp (got {out})")
    check_tfds(BrokenInstallError)  # the user's module may import TFDS
    loaders = load_factory(factory, app_dir)
    from exporters.options.features import Options
    from exporters.preview import preview as run

    options = Options(
        names=arguments.pairs(rename, "--rename") or None,
        features=arguments.features(features, classes),
        layouts=arguments.pairs(layout, "--layout"),
        supervised_keys=arguments.keys(supervised),
        unpad=arguments.pairs(unpad, "--unpad"),
        integers=arguments.integers(integers),
    )
    found = run(loaders, options, count)
    if out is not None:
        from exporters.command import picture

        out.write_bytes(picture.draw(found, out.suffix.lower(), "\n".join(_describe(found))))
    if as_json:
        content = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        print(json.dumps(content | _as_json(found), indent=2, default=dataclasses.asdict, allow_nan=False))
    else:
        for line in _describe(found):
            print(printable(line))
        if out is not None:
            print(printable(f"written: {out}"))


def _as_json(found: Preview) -> dict[str, Any]:
    splits = {}
    for name, split in found.splits.items():
        fields = {field.name: getattr(split, field.name) for field in dataclasses.fields(split)}
        splits[name] = {**fields, "examples": [to_json(example) for example in split.examples]}
    return {"splits": splits, "labels": {name: list(names) for name, names in found.labels.items()}}


def _describe(found: Preview) -> Iterator[str]:
    """The lines of it."""
    yield "what export would make of the first batch of each split; nothing was exported"
    for name, split in found.splits.items():
        yield f"{name}: {_describe_split(split)}"
    heads = ("feature", "in a batch", "as tfds.load gives it")
    rows = [heads, *((feature.name, feature.given, feature.loaded) for feature in found.features)]
    widths = [min(44, max(len(row[column]) for row in rows)) for column in range(2)]
    for row in rows:
        yield f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}"
    if found.supervised_keys:
        yield f"as_supervised=True gives ({', '.join(found.supervised_keys)})"
    yield "decided:"
    yield from (f"  {sentence}" for sentence in found.decisions)
    yield "hazards seen so far:" if found.hazards else "hazards: none seen so far; some show only while all is drained"
    yield from (f"  {hazard.message}" for hazard in found.hazards)
    for name, split in found.splits.items():
        for number, example in enumerate(split.examples):
            yield f"{name} {number}:"
            for key, value in flatten(example):
                yield f"  {key}: {describe(value, found.labels.get(key, ()))}"


def _describe_split(split: SplitPreview) -> str:
    if split.problem:
        return f"cannot be exported: {split.problem}"
    expected = (
        "the loader does not tell how many examples" if split.expected is None else wording.plural(split.expected, "example")
    )
    total = "" if split.expected is None else f", about {split.expected * split.bytes:,} bytes in all"
    return f"{expected}; {split.rows:,} in the first batch; {wording.plural(split.bytes, 'byte')} an example{total}"
