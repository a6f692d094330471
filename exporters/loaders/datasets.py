"""The datasets that a loader draws from, those that others wrap included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.aliases import Dataset

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
