"""What `torch2tfds head` prints: the first examples of a split, each value in a line."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from exporters import wording
from exporters.command.arguments import Json, VersionDir
from exporters.errors import ArgumentError
from tfds_builder.contract.untrusted import printable
from tfds_builder.install import check_tfds

EPILOG = (
    "Values are as tfds.data_source gives them, read without TensorFlow; images stored as PNG or JPEG take Pillow or OpenCV. "
    "Arrays of more than 12 values are shown as their shape, mean and range."
)
_VALUES_SHOWN, _TEXT_SHOWN, _ITEMS_SHOWN = 12, 200, 3
_JSON_VALUES = 64


def head(
    path: VersionDir,
    split: Annotated[str | None, typer.Option(help="Name of a split; train, or else the first one.", show_default=False)] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="How many examples.")] = 5,
    in_json: Json = False,
) -> None:
    """Show the first examples of a split: numbers and text as they are, images by shape and mean."""
    check_tfds()
    from tfds_builder.builder import builder_from_directory

    builder = builder_from_directory(path)
    known = builder.manifest.splits
    if split is None:
        split = "train" if "train" in known else next(iter(known))
    if split not in known:
        there = ", ".join(map(repr, known))
        raise ArgumentError(
            f"{builder.manifest.tfds_name} has no split {split!r}; its splits are {there}: give --split one of them"
        )
    source = builder.as_data_source(split)
    examples = (source[row] for row in range(min(count, len(source))))
    if in_json:
        print(json.dumps([as_json(example) for example in examples], indent=2, allow_nan=False))
        return
    print(printable(f"{builder.manifest.tfds_name}  {split}: {wording.plural(len(source), 'example')}"))
    labels = builder.manifest.labels
    for row, example in enumerate(examples):
        print(f"{row}:")
        for name, value in flatten(example):
            print(printable(f"  {name}: {describe(value, labels.get(name, ()))}"))


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of an example by flat name."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from flatten(part, f"{name}/{key}" if name else key)
    else:
        yield name, value


def describe(value: Any, names: Sequence[str] = ()) -> str:
    """One value in a line.

    >>> describe(np.zeros((32, 32, 3), np.uint8)), describe(1, ["cat", "dog"]), describe(b"text")    # doctest: +SKIP
    ('uint8 (32, 32, 3), mean 0, 0 to 0', '1 (dog)', "'text'")

    Args:
      value: as a data source gives it.
      names: of its classes, if it is a label.
    """
    import numpy as np

    if value is None:
        return "no value"
    if isinstance(value, bytes | str):
        return _describe_text(value)
    if isinstance(value, list):
        return _describe_list(value, names)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {describe(part)}" for name, part in flatten(value))
    if not hasattr(value, "__len__") and not hasattr(value, "dtype") and not isinstance(value, int | float | complex):
        return f"a {type(value).__name__}"
    array = np.asarray(value)
    if array.dtype == object:
        return _describe_list(array.ravel().tolist(), names) if array.ndim else describe(array.item(), names)
    if not array.ndim:
        number = array.item()
        named = isinstance(number, int) and 0 <= number < len(names)
        return f"{number} ({names[number]})" if named else str(array[()])
    shape = f"{array.dtype} {array.shape}"
    if array.size <= _VALUES_SHOWN:
        return f"{shape} {' '.join(np.array2string(array, separator=', ').split())}"
    if array.dtype.kind == "c":
        return shape
    numbers = array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return f"{shape}, no finite value"
    not_finite = f", {array.size - finite.size:,} not finite" if finite.size < array.size else ""
    with np.errstate(over="ignore"):
        return f"{shape}, mean {finite.mean():.6g}, {finite.min():.6g} to {finite.max():.6g}{not_finite}"


def _describe_text(value: bytes | str) -> str:
    if isinstance(value, bytes):
        try:
            return _describe_text(value.decode())
        except UnicodeDecodeError:
            return f"{wording.plural(len(value), 'byte')}, beginning {value[:16].hex(' ')}"
    more = f"... ({len(value):,} characters)" if len(value) > _TEXT_SHOWN else ""
    return f"{value[:_TEXT_SHOWN]!r}{more}"


def _describe_list(items: Sequence[Any], names: Sequence[str]) -> str:
    shown = ", ".join(describe(item, names) for item in itertools.islice(items, _ITEMS_SHOWN))
    more = ", ..." if len(items) > _ITEMS_SHOWN else ""
    return f"{wording.plural(len(items), 'item')}" + (f": {shown}{more}" if items else "")


def as_json(value: Any) -> Any:
    """A value as JSON has it: arrays of many values as their shape, dtype, mean and range; what is no text as its size."""
    import numpy as np

    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"bytes": len(value)}
    if value is None or isinstance(value, str | bool | int):
        return value
    array = np.asarray(value)
    if array.dtype == object:
        return [as_json(item) for item in array.ravel().tolist()] if array.ndim else as_json(array.item())
    if array.size > _JSON_VALUES:
        if array.dtype.kind == "c":
            return {"shape": list(array.shape), "dtype": str(array.dtype)}
        numbers = array.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        with np.errstate(over="ignore"):
            figures = (finite.mean(), finite.min(), finite.max()) if finite.size else (None, None, None)
        summary = dict(zip(("mean", "min", "max"), map(_number, figures), strict=True))
        return {"shape": list(array.shape), "dtype": str(array.dtype), **summary}
    return _numbers(array.tolist())


def _numbers(value: Any) -> Any:
    return [_numbers(item) for item in value] if isinstance(value, list) else _number(value)


def _number(value: Any) -> Any:
    """A number as JSON has it; what JSON has none for, as text."""
    if value is None or isinstance(value, bool | int):
        return value
    number = value if isinstance(value, complex) else float(value)
    return str(number) if isinstance(number, complex) or not math.isfinite(number) else number
