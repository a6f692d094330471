"""What a raw batch is made of: what a value is, the parts of one level by name, and a walk over all levels.

    {"image": tensor, "target": (boxes, {"id": [1, 2]})}
        ->  ""  "image"  "target"  "target/0"  "target/1"  "target/1/id"

Whatever looks into a batch, an example or a row asks here, so that a dict, a namedtuple and a dataclass of the same parts are
the same to all of them.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Container, Hashable, Iterator, Mapping

import numpy as np

from exporters.aliases import RawBatch, RawValue
from exporters.errors import LoaderError
from exporters.tensors.arrays import SCALARS, are_scalars, is_picture, shown
from exporters.tensors.pytorch import torch_module

DEPTH = 20
"""Deepest nesting of a batch; protobuf, which carries the features, stops at 100 messages."""


class Form(enum.Enum):
    """What a value of a batch is. The first two have parts, the others are leaves."""

    RECORD = "a mapping, a namedtuple or a dataclass: its parts have names of their own"
    LIST = "a list or a tuple: its parts are known by position, or it is a list of rows"
    VALUES = "a list or a tuple of values, one a row; some of them may be None"
    ARRAY = "a NumPy array or a tensor"
    VALUE = "a str, bytes or a number"
    PICTURE = "an image of Pillow's"
    NONE = "None"
    OTHER = "of a class that no batch is built of"


_HAVE_PARTS = (Form.RECORD, Form.LIST)
_IN_VALUES = (Form.VALUE, Form.NONE)


class _Forms(dict[type, Form]):
    """What a value of a type is, as far as its type says it: any list is a LIST. Each type is asked once."""

    def __missing__(self, kind: type) -> Form:
        form = self[kind] = self._tell(kind)
        return form

    @staticmethod
    def _tell(kind: type) -> Form:
        if issubclass(kind, np.ndarray | torch_module().Tensor):
            return Form.ARRAY
        if issubclass(kind, list | tuple):
            return Form.RECORD if hasattr(kind, "_fields") else Form.LIST
        if issubclass(kind, Mapping) or dataclasses.is_dataclass(kind):
            return Form.RECORD
        if kind is type(None):
            return Form.NONE
        return Form.VALUE if issubclass(kind, SCALARS) else Form.OTHER


_FORMS = _Forms()


def form_of(value: RawValue) -> Form:
    """What a value is.

    >>> form_of({"x": 1}).name, form_of([1, None]).name, form_of((1, [2])).name
    ('RECORD', 'VALUES', 'LIST')
    """
    form = _FORMS[type(value)]
    if form is Form.LIST and _are_values(value):
        return Form.VALUES
    return Form.PICTURE if form is Form.OTHER and is_picture(value) else form


def _are_values(items: list[RawValue] | tuple[RawValue, ...]) -> bool:
    """Whether a list holds values, and nothing else but None; told by their types, of which there are few."""
    if not items or _FORMS[type(items[0])] not in _IN_VALUES:
        return False
    forms = [_FORMS[kind] for kind in set(map(type, items))]
    return Form.VALUE in forms and all(form in _IN_VALUES for form in forms)


def is_list(value: RawValue) -> bool:
    """Whether a value is a list or a tuple, of whatever; a namedtuple is a record."""
    return _FORMS[type(value)] is Form.LIST


def is_array(value: RawValue) -> bool:
    """Whether a value is a NumPy array or a tensor."""
    return _FORMS[type(value)] is Form.ARRAY


def items_of(value: Mapping[Hashable, RawValue]) -> list[tuple[Hashable, RawValue]]:
    """Keys and values of a mapping. Nothing else is asked of it: one of tensordict's iterates over its rows, and has no truth
    value."""
    return [(key, value[key]) for key in value.keys()]  # noqa: SIM118


def parts_of(value: RawValue) -> list[tuple[str, RawValue]]:
    """The parts of one level by name: of a record by its keys or fields, of a list by position.

    >>> parts_of({"x": 1, "y": 2}), parts_of([3, 4])
    ([('x', 1), ('y', 2)], [('0', 3), ('1', 4)])
    """
    if type(value) is dict:  # as it nearly always is
        return list(zip(map(str, value), value.values(), strict=True))
    if isinstance(value, list | tuple):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in items_of(value)]
    return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]


def check_parts(value: RawValue, path: str, where: str) -> None:
    """Raises LoaderError if the parts of a record could not be features: there is none, or a key is no feature's name."""
    keys = list(value.keys()) if isinstance(value, Mapping) else [name for name, _ in parts_of(value)]
    if not keys:
        raise LoaderError(f"{where}: {shown(path)} is an empty {type(value).__name__}; give it at least one feature")
    for key in keys:
        if not isinstance(key, str) or "/" in key:
            raise LoaderError(
                f"{where}: {shown(path)} has the key {key!r}; keys must be str without '/', they become feature names: "
                "rename it in collate_fn"
            )


def join(path: str, name: str) -> str:
    """The structural name of a part, made of the name of what it is a part of."""
    return f"{path}/{name}" if path else name


def is_too_deep(path: str) -> bool:
    """Whether the parts of a structure of that name lie deeper than a batch may be nested."""
    return path.count("/") >= DEPTH


def walk(raw: RawBatch, closed: Container[str] = ()) -> Iterator[tuple[str, RawValue, Form]]:
    """Everything that lies in a batch, as (structural name, value, form): first the batch itself, whose name is `""`, and what
    has parts before its parts.

    Args:
      raw: the batch.
      closed: structural names of lists that are not walked into. It is asked after such a list was given, so that whoever
        walks may add its name by then.
    """
    ahead = [("", raw)]
    while ahead:
        path, value = ahead.pop()
        form = form_of(value)
        yield path, value, form
        if form in _HAVE_PARTS and not is_too_deep(path) and not (form is Form.LIST and path in closed):
            parts = parts_of(value)
            parts.reverse()
            ahead += [(f"{path}/{name}", part) for name, part in parts] if path else parts


def leaves_with_shapes(item: RawValue) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Structural name and shape of every leaf of an item; `()` of what is neither an array nor a list of values."""
    for path, value, form in walk(item):
        if form is Form.ARRAY:
            yield path, shape_of(value)
        elif (form is Form.VALUES and are_scalars(value)) or (form is Form.LIST and not value):
            yield path, (len(value),)
        elif form not in _HAVE_PARTS:
            yield path, ()


def leading_sizes(item: RawValue) -> Iterator[int | None]:
    """The rows that every leaf of an item would have if the item was a feature, or a batch; None if it could not be one."""
    return (shape[0] if shape else None for _, shape in leaves_with_shapes(item))


def shape_of(array: RawValue) -> tuple[int, ...]:
    """The shape of an array or a tensor; `()` of a nested tensor, whose rows differ."""
    return () if getattr(array, "is_nested", False) else tuple(map(int, array.shape))
