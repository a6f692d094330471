"""Values on their way to another process: pickled, by cloudpickle where that is installed, so that what a script or a notebook
defines can go too. If something cannot, the error names the part of it that is at fault.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator

from exporters.aliases import Component
from exporters.errors import LoaderError

_DEEPEST = 12
"""How deep the part is looked for that cannot be pickled."""


def dumps(value: object) -> bytes:
    """A value as bytes, for `loads` in a process that has the same packages."""
    if importlib.util.find_spec("cloudpickle") is None:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    import cloudpickle

    content: bytes = cloudpickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return content


def loads(content: bytes) -> Component:
    """The value that `dumps` of another process of the same export has made bytes of. Nothing else is ever given to it."""
    return pickle.loads(content)


def dump_parts(parts: dict[str, object], where: str) -> bytes:
    """Named values as bytes.

    Args:
      parts: what must travel, by what its owner calls it: `{"dataset": ..., "collate_fn": ...}`.
      where: for the error.

    Raises:
      LoaderError: something cannot be pickled; it names the part, down to the attribute.
    """
    try:
        return dumps(parts)
    except Exception as error:  # classes raise whatever they like when they are pickled
        name, culprit = next(((path, item) for path, item in _culprits(parts) if path), ("", parts))
        raise LoaderError(
            f"{where}: {name or 'the loader'} (of type {type(culprit).__name__}) cannot be pickled, so the loader cannot go to "
            f"other processes: {error}; leave it out in __getstate__ of what holds it, and make it where it is first used"
        ) from error


def _culprits(parts: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The innermost part that cannot be pickled, by its path: `dataset.files[3].lock`."""
    path, item = "", parts
    for depth in range(_DEEPEST):
        inner = list(_inner(item, path if depth else None))
        found = next(((name, part) for name, part in inner if not _can_travel(part)), None)
        if found is None:
            break
        path, item = found  # type: ignore[assignment]
    yield path, item


def _inner(item: object, path: str | None) -> Iterator[tuple[str, object]]:
    """The parts of an object, by their paths; those of the outermost mapping are called by their keys."""
    if path is None and isinstance(item, dict):
        yield from item.items()
    elif isinstance(item, dict):
        yield from ((f"{path}[{key!r:.40}]", part) for key, part in item.items())
    elif isinstance(item, list | tuple | set | frozenset):
        yield from ((f"{path}[{number}]", part) for number, part in enumerate(item))
    else:
        yield from ((f"{path}.{name}", part) for name, part in getattr(item, "__dict__", {}).items())
        cells, names = getattr(item, "__closure__", None) or (), getattr(getattr(item, "__code__", None), "co_freevars", ())
        for name, cell in zip(names, cells, strict=False):
            yield f"{path} closes over {name}", cell.cell_contents


def _can_travel(value: object) -> bool:
    try:
        dumps(value)
    except Exception:  # as above
        return False
    return True
