"""Names of classes that a dataset brings along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exporters.batches import torch_module
from exporters.errors import SchemaError


def class_names(loader: Any) -> list[str] | None:
    """`dataset.classes`, torchvision's convention, also through Subset and ConcatDataset.

    A tuple of synonyms (as ImageNet's) becomes one name, joined by ", ".
    """
    found = _find_classes(loader.dataset)
    if found is None:
        return None
    names = [", ".join(map(str, name)) if isinstance(name, tuple | list) else str(name) for name in found]
    return names or None


def _find_classes(dataset: Any) -> Sequence[Any] | None:
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, list | tuple):
        return classes
    data = torch_module().utils.data
    if isinstance(dataset, data.Subset):
        return _find_classes(dataset.dataset)
    if isinstance(dataset, data.ConcatDataset):
        found = [_find_classes(part) for part in dataset.datasets]
        if all(item is not None and list(item) == list(found[0] or []) for item in found):
            return found[0]
    return None


def of_splits(loaders: Mapping[str, Any]) -> list[str] | None:
    """`dataset.classes` of the splits that have them.

    Raises:
      SchemaError: two splits have different ones.
    """
    found = {split: names for split, loader in loaders.items() if (names := class_names(loader)) is not None}
    for split, names in found.items():
        first, expected = next(iter(found.items()))
        if names != expected:
            raise SchemaError(
                f"split {split!r}: dataset.classes differs from that of split {first!r} ({names[:5]}... and {expected[:5]}...); "
                "all splits must have the same classes, in the same order"
            )
    return next(iter(found.values()), None)
