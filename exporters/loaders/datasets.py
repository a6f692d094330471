"""The datasets that a loader draws from, those that others wrap included, and the transforms of these."""

from __future__ import annotations

import contextlib
import functools
import sysconfig
import types
from collections.abc import Iterable, Iterator, Mapping

from exporters.aliases import Component, Dataset, Loader

MOST = 10_000
"""Objects that are looked at, at most."""


def datasets_of(dataset: Dataset) -> Iterator[Dataset]:
    """A dataset and those it wraps: Subset, ConcatDataset, datapipes, and anything else with `.dataset`, `.datasets` or
    `.datapipe`."""
    seen: set[int] = set()
    waiting = [dataset]
    while waiting and len(seen) < MOST:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        for name, value in attributes_of(item):
            if name in ("dataset", "datapipe", "_datapipe"):
                waiting.append(value)
            elif name == "datasets" and isinstance(value, list | tuple):
                waiting += value


def attributes_of(item: object) -> Iterable[tuple[str, object]]:
    """Names and values of what an object holds; nothing of a class."""
    return getattr(item, "__dict__", {}).items() if not isinstance(item, type) else ()


def transforms_of(loader: Loader) -> Iterator[Component]:
    """Every part of every transform of the dataset, of those it wraps, and of `collate_fn`."""
    seen: set[int] = set()
    waiting = [loader.collate_fn, *datasets_of(loader.dataset)]
    waiting = [value for owner in waiting for name, value in attributes_of(owner) if "transform" in name or "augment" in name]
    waiting.append(loader.collate_fn)
    while waiting and len(seen) < MOST:
        item = waiting.pop(0)
        if id(item) in seen or item is None or isinstance(item, str | bytes | int | float):
            continue
        seen.add(id(item))
        if isinstance(item, list | tuple):
            waiting += item
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif callable(item):
            yield item
            waiting += _parts(item)


def _parts(item: Component) -> Iterator[Component]:
    """What a transform is composed of: Compose, Sequential, Lambda, partial, those that wrap others, and what functions name."""
    for name, value in attributes_of(item):
        if "transform" in name or name in ("_modules", "lambd", "augmentations"):
            yield value
    if isinstance(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif isinstance(item, types.MethodType):
        yield from _named(item.__func__, item.__self__)
    elif isinstance(item, types.FunctionType):
        yield from _named(item, None)
    else:
        yield from _named(type(item).__call__, item)


def _named(function: Component, owner: Component) -> Iterator[Component]:
    """What a function holds or names: its closure, its defaults, globals, and attributes of its modules and of `self`.

    Functions of Python itself, and of installed packages, are not looked into.
    """
    if not isinstance(function, types.FunctionType) or function.__code__.co_filename.startswith(_libraries()):
        return
    names = set(_names(function.__code__))
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # it is empty still
            yield cell.cell_contents
    yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    found = [function.__globals__[name] for name in names & function.__globals__.keys()]
    yield from found
    for holder in (owner, *(value for value in found if isinstance(value, types.ModuleType))):
        attributes = getattr(holder, "__dict__", {})
        yield from (attributes[name] for name in names & attributes.keys())


def _names(code: types.CodeType) -> Iterator[str]:
    """Names of globals and attributes in the code of a function, and of the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Where Python's own modules and installed packages are."""
    return tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
