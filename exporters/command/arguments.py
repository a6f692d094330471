"""What the arguments of a command line are and mean: those that several commands have, pairs, class names, a file of features."""

from __future__ import annotations

import functools
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from exporters import wording
from exporters.errors import ArgumentError
from tfds_builder.aliases import Feature
from tfds_builder.errors import DatasetError


def to_path(text: str | pathlib.Path) -> pathlib.Path:
    """A path, as it was typed or by default. An empty text is refused: it comes from a variable that is not set, and would mean
    this directory."""
    if text == "":
        raise typer.BadParameter("a path is needed, and none was given (an empty text); for this directory give .")
    return pathlib.Path(text)


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ShowProgress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--quiet",
        help="A bar, or nothing but warnings; by default a bar in a terminal, and in a log a line every so often.",
        show_default=False,
        rich_help_panel="How it is done",
    ),
]
VersionDir = Annotated[
    pathlib.Path,
    typer.Argument(metavar="PATH", help="A published version: DATA_DIR/NAME/VERSION, or of a config.", parser=to_path),
]
Factory = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FACTORY",
        help="A callable without arguments that returns a DataLoader, or a mapping of split name to DataLoader.",
    ),
]
AppDir = Annotated[pathlib.Path, typer.Option(help="Directory MODULE is looked for in first.", parser=to_path, metavar="PATH")]

Engine = Annotated[
    str, typer.Option(help="Who writes the shards: local, processes, ray or beam.", rich_help_panel="How it is done")
]
EngineOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="OPTION=VALUE", help="Of the engine, such as workers=4; repeatable.", rich_help_panel="How it is done"),
]

_of_features = functools.partial(typer.Option, rich_help_panel="What a batch holds")
Layouts = Annotated[
    list[str] | None,
    _of_features(metavar="FEATURE=LAYOUT", help="How the loader gives it, such as image=NCHW; repeatable."),
]
Renames = Annotated[list[str] | None, _of_features(metavar="OLD=NEW", help="Rename a feature; repeatable.")]
ClassNames = Annotated[
    list[str] | None,
    _of_features(
        metavar="[FEATURE=]NAMES",
        help="Class names: cat,dog, or a file with a name a line, or how many there are. FEATURE is label if left out; "
        "repeatable.",
    ),
]
Supervised = Annotated[
    str | None, _of_features(metavar="IN,TARGET", help="The features that as_supervised=True gives; those of a pair.")
]
FeaturesFile = Annotated[
    pathlib.Path | None,
    _of_features(metavar="FILE.json", parser=to_path, help="Features that replace inferred ones: a features.json of TFDS."),
]
Unpad = Annotated[
    list[str] | None,
    _of_features(metavar="FEATURE=LENGTH", help="Store without padding, by lengths or a mask; repeatable."),
]
Integers = Annotated[
    list[str] | None,
    _of_features(
        metavar="FEATURE[=MEAN/STD]",
        help="Float images to be stored as the integers they came from, exact both ways. MEAN and STD, as Normalize takes them "
        "(0.5/0.5, or one a channel: 0.4,0.5,0.6/0.2,0.3,0.2), where neither the dataset nor its first batch tells; repeatable.",
    ),
]

_FEATURES_BYTES, _FEATURES_VALUES = 16 * 1024 * 1024, 1_000_000
_NAMES_BYTES = 64 * 1024 * 1024
"""A file that is larger than this is not taken for one of features, or for one of class names."""
_CLASSES_DIGITS = 18
"""A number of more digits than this is not taken for a number of classes: it may not fit into 64 bits."""
_CLASS_NAMES = "names separated by commas, a number of classes, or a file with a name a line"


def pairs(texts: Iterable[str] | None, option: str) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping.

    Raises:
      ArgumentError: a text is not of that form, or two are of the same name.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        left, equals, right = text.partition("=")
        if not left or not equals or not right:
            raise ArgumentError(f"{option} takes NAME=VALUE (got {text!r})")
        _put(found, left, right, option)
    return found


def _put(found: dict[str, Any], name: str, value: object, option: str) -> None:
    """Raises ArgumentError if another value was given for that name."""
    if name in found:
        raise ArgumentError(f"{option} is given twice for {name!r}: {found[name]!r:.80} and {value!r:.80}; leave one out")
    found[name] = value


def shard_bytes(mebibytes: float) -> int:
    """The size of a shard, in bytes.

    Raises:
      ArgumentError: it is no positive number.
    """
    if not math.isfinite(mebibytes) or mebibytes <= 0:
        raise ArgumentError(f"--shard-mib must be a positive number of MiB (got {mebibytes})")
    return wording.to_bytes(mebibytes)


def features(path: pathlib.Path | None, classes: Iterable[str] | None) -> dict[str, Feature] | None:
    """What `--features` and `--classes` say, as the `features` of `export`; None if they say nothing.

    Args:
      path: a `features.json` as TFDS writes it; beside it may lie the names of its classes (`label.labels.txt`).
      classes: `[FEATURE=]NAMES`, see `_class_label`; FEATURE is `label` if it is left out.

    Raises:
      ArgumentError: a file cannot be read, or does not hold what it should.
    """
    texts: dict[str, str] = {}
    for text in classes or ():
        name = text.partition("=")[0] if "=" in text else "label"
        if not name:
            raise ArgumentError(f"--classes takes [FEATURE=]NAMES (got {text!r:.80})")
        _put(texts, name, text, "--classes")
    found = {} if path is None else dict(_read_features(path))
    found |= {
        name: _class_label(text.partition("=")[2] if "=" in text else text, f"--classes {text:.80}")
        for name, text in texts.items()
    }
    return found or None


def _class_label(names: str, where: str) -> Feature:
    """A ClassLabel of class names separated by commas, of a number of classes, or of a file with a name a line.

    >>> _class_label("cat,dog", "--classes cat,dog").names           # doctest: +SKIP
    ['cat', 'dog']

    Raises:
      ArgumentError: it is none of them, or TFDS does not take the names.
    """
    import tensorflow_datasets as tfds

    try:
        if names.isascii() and names.isdecimal():
            digits = names.lstrip("0")
            if not 0 < len(digits) <= _CLASSES_DIGITS:
                raise ArgumentError(f"{where}: a number of classes is at least 1, and has at most {_CLASSES_DIGITS} digits")
            return tfds.features.ClassLabel(num_classes=int(digits))
        if not names:
            raise ArgumentError(f"{where}: expected {_CLASS_NAMES} (got nothing)")
        listed = names.split(",") if "," in names else _read_names(pathlib.Path(names), where)
        stripped = [name.strip() for name in listed if name.strip()]
        if not stripped:
            raise ArgumentError(f"{where}: there is no name of a class in it; expected {_CLASS_NAMES}")
        return tfds.features.ClassLabel(names=stripped)
    except ValueError as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{where}: {error}") from error


def _read_names(path: pathlib.Path, where: str) -> list[str]:
    from tfds_builder.contract.directory import Directory

    try:
        return Directory.at(path.parent).read(path.name, _NAMES_BYTES).decode().splitlines()
    except (DatasetError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{where}: expected {_CLASS_NAMES} ({error})") from error


def _read_features(path: pathlib.Path) -> Mapping[str, Feature]:
    """The features of a file of TFDS's, with the class names that TFDS keeps beside it. No class they name is imported."""
    from tfds_builder.contract.directory import Directory
    from tfds_builder.contract.untrusted import parse_json
    from tfds_builder.features.feature_json import parse_features
    from tfds_builder.features.kinds import kind_of

    where = f"--features {path}"
    try:
        content = parse_json(Directory.at(path.parent).read(path.name, _FEATURES_BYTES), _FEATURES_VALUES, os.fspath(path))
        found = parse_features(content, {}, os.fspath(path))
        beside = {name: path.parent / f"{name.replace('/', '-')}.labels.txt" for name, _ in kind_of(found).labels()}
        labels = {name: _read_names(file, where) for name, file in beside.items() if file.exists()}
        return dict(parse_features(content, labels, os.fspath(path)).items())
    except DatasetError as error:
        raise ArgumentError(f"{where}: {' '.join(str(error).split())}; give a features.json as TFDS writes it") from error


def engine_options(texts: Iterable[str] | None) -> dict[str, str | int]:
    """`OPTION=VALUE`, any number of times: a value of digits is a number.

    >>> engine_options(["workers=4", "start_method=spawn"])
    {'workers': 4, 'start_method': 'spawn'}
    """
    given = pairs(texts, "--engine-option") or {}
    return {name: int(value) if value.isascii() and value.isdecimal() else value for name, value in given.items()}


def integers(texts: Iterable[str] | None) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]] | None] | None:
    """`FEATURE[=MEAN/STD]` texts as the `integers` of `export`; None if there are none.

    >>> integers(["image", "mask=0.5/0.5"])
    {'image': None, 'mask': ((0.5,), (0.5,))}

    Raises:
      ArgumentError: a text is not of that form, or two are of the same name.
    """
    found: dict[str, tuple[tuple[float, ...], tuple[float, ...]] | None] = {}
    for text in texts or ():
        name, equals, numbers = text.partition("=")
        means, slash, stds = numbers.partition("/")
        scale = None
        try:
            if equals:
                scale = tuple(map(float, means.split(","))), tuple(map(float, stds.split(",")))
        except ValueError:
            name = ""
        if not name or (equals and not slash):
            raise ArgumentError(f"--integers takes FEATURE, or FEATURE=MEAN/STD, such as image=0.5/0.5 (got {text!r:.80})")
        _put(found, name, scale, "--integers")
    return found or None


def keys(text: str | None) -> tuple[str, ...] | None:
    """`IN,TARGET` as supervised keys.

    Raises:
      ArgumentError: there is no name before or after a comma.
    """
    names = None if text is None else tuple(name.strip() for name in text.split(","))
    if names is not None and not all(names):
        raise ArgumentError(f"--supervised takes IN,TARGET (got {text!r:.80})")
    return names


def export_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `torch2tfds export` say, as keywords of `export`; those of how it is done left out.

    Args:
      given: the options, by the names of the command's parameters.

    Raises:
      ArgumentError: one of them is not of its form.
    """
    from exporters.options.card import Card
    from exporters.options.config import Config

    config, hazards = given["config"], given["on_hazard"] or ()
    if config is None and given["config_description"]:
        raise ArgumentError("--config-description is of a config; name it with --config")
    return {
        **{name: given[name] for name in ("name", "version", "format", "seed", "progress")},
        "config": None if config is None else Config(config, given["config_description"]),
        "release_notes": pairs(given["release_notes"], "--release-notes"),
        "features": features(given["features"], given["classes"]),
        "layouts": pairs(given["layout"], "--layout"),
        "names": pairs(given["rename"], "--rename") or None,
        "supervised_keys": keys(given["supervised"]),
        "unpad": pairs(given["unpad"], "--unpad"),
        "integers": integers(given["integers"]),
        "shard_bytes": shard_bytes(given["shard_mib"]),
        "on_hazard": pairs([text if "=" in text or not text else f"default={text}" for text in hazards], "--on-hazard"),
        "card": Card(**{name: given[name] for name in ("description", "homepage", "citation", "license")}),
    }
