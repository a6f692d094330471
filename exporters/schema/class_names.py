"""Names of classes that datasets bring along, and the features that they name. What is not used is said.

dataset.classes                     torchvision: of the label, wherever one feature alone can be that
dataset.features["label"].names     Hugging Face: of the feature that is called so
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import tensorflow_datasets as tfds

from exporters.aliases import Dataset, Loader
from exporters.batches.flatten import Parts
from exporters.batches.rows import Rows
from exporters.errors import SchemaError
from exporters.features.stored import check_class_names
from exporters.tensors.pytorch import torch_module
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, Feature
from tfds_builder.features.kinds import kind_of

LABELS = ("label", "labels", "target", "targets", "y")
"""Names that say that a feature is a label; `schema.naming` gives the second part of a pair the first of them."""
_BACKGROUND = ("__background__", "background")
_F = tfds.features


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names of classes.

    Attributes:
      names: `dataset.classes`, which does not say of which feature; None if there are none.
      columns: names of the classes of a column, by its structural name in the dataset's own features.
    """

    names: tuple[str, ...] | None = None
    columns: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def of_splits(loaders: Mapping[str, Loader]) -> Classes:
    """The class names of all splits that have any.

    Raises:
      SchemaError: two splits have different ones.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for split, loader in loaders.items():
        names = _class_names(loader)
        whole = {"": tuple(names)} if names is not None else {}
        for source, part in (whole | _named_columns(loader.dataset)).items():
            known = found.setdefault(source, {split: part})
            first, expected = next(iter(known.items()))
            if part != expected:
                where = f"dataset.features[{source!r}].names" if source else "dataset.classes"
                raise SchemaError(
                    f"split {split!r}: {where} differs from that of split {first!r} ({list(part[:5])}... and "
                    f"{list(expected[:5])}...); all splits must have the same classes, in the same order"
                )
    merged = {source: next(iter(known.values())) for source, known in found.items()}
    return Classes(merged.pop("", None), merged)


def assign(
    classes: Classes, columns: Parts, names: Mapping[str, str], positions: Sequence[str], overrides: Mapping[str, Feature]
) -> tuple[dict[str, Feature], tuple[str, ...]]:
    """The features that class names make, by flat name, and what is said of class names that make none.

    Args:
      classes: the class names.
      columns: of the first batch, by structural name.
      names: flat name of each column, by structural name.
      positions: `flatten.position_names` of the raw batch.
      overrides: `features=`, by flat name, which come first.

    Raises:
      SchemaError: TFDS cannot store the names of `dataset.classes`.
    """
    found: dict[str, Feature] = {}
    said: list[str] = []
    for source, labels in classes.columns.items():
        name = names.get(source, "")
        if any(name == given or name.startswith(f"{given}/") for given in overrides):
            continue
        problem = _why_not(columns.get(source), labels, name)
        if problem:
            said.append(f"dataset.features[{source!r}].names ({len(labels)} names) are not used: {problem}")
        else:
            found[name] = _feature(columns[source], labels)
    if classes.names is not None:
        name = _label_column(columns, names, positions) or _detection_labels(columns, names, classes.names) or ""
        if name and name not in found and name not in overrides:
            check_class_names(name, classes.names)
            source = next(source for source, known in names.items() if known == name)
            found[name] = _feature(columns[source], classes.names)
        elif not name and not any(label for feature in overrides.values() for label in kind_of(feature).labels()):
            said.append(_unused(classes.names, columns, names))
    return found, tuple(said)


def _feature(column: Array | Rows, labels: Sequence[str]) -> Feature:
    label = _F.ClassLabel(names=list(labels))
    return label if column.ndim == 1 else _F.Sequence(label)


def _why_not(column: Array | Rows | None, labels: Sequence[str], name: str) -> str:
    """Why a column does not hold numbers of these classes; empty if it does."""
    if column is None:
        return "the batch has no part that is called so"
    if column.dtype.kind not in "iu" or column.ndim not in (1, 2) or (isinstance(column, Rows) and column.is_unknown):
        return f"the batch has {column.dtype} of shape {column.shape} there, and class labels are integers"
    arrays = column.arrays if isinstance(column, Rows) else (column,)
    for array in arrays:
        if array is not None and array.size and not -1 <= int(array.min()) <= int(array.max()) < len(labels):
            return f"the batch has labels from {int(array.min())} to {int(array.max())} there"
    try:
        check_class_names(name, labels)
    except SchemaError as error:
        return str(error)
    return ""


def _label_column(columns: Parts, names: Mapping[str, str], positions: Sequence[str]) -> str | None:
    """Which column `dataset.classes` names: the target of a pair, else the only 1-D integer one."""
    integers = [name for source, name in names.items() if columns[source].ndim == 1 and columns[source].dtype.kind in "iu"]
    if len(positions) == 2:
        return names.get(positions[1]) if names.get(positions[1]) in integers else None
    named = [name for name in integers if name.split("/")[-1] in LABELS]
    candidates = integers if len(integers) == 1 else named
    return candidates[0] if len(candidates) == 1 else None


def _detection_labels(columns: Parts, names: Mapping[str, str], labels: Sequence[str]) -> str | None:
    """The `labels` of a detection target, where the classes begin with the background, as torchvision numbers them; else None.

    Without it a label may as well be the number of a category, or begin at 1.
    """
    found = [
        source
        for source, name in names.items()
        if name.split("/")[-1] == "labels" and f"{source.rpartition('/')[0]}/boxes".lstrip("/") in columns
    ]
    if len(found) != 1 or labels[0].lower() not in _BACKGROUND or columns[found[0]].ndim != 2:
        return None
    return None if _why_not(columns[found[0]], labels, names[found[0]]) else names[found[0]]


def _unused(labels: Sequence[str], columns: Parts, names: Mapping[str, str]) -> str:
    """What to say of `dataset.classes` that are not used, with the line that uses them."""
    line = "ClassLabel(names=dataset.classes)"
    name = "label"
    for source, known in names.items():
        column = columns[source]
        if known.split("/")[-1] in LABELS and column.dtype.kind in "iu" and column.ndim in (1, 2):
            name = known
            line = line if column.ndim == 1 else f"Sequence(tfds.features.{line})"
    return (
        f"dataset.classes ({len(labels)} names) is not used: nothing shows that one feature has the numbers 0 to "
        f"{len(labels) - 1} of them; to use it: {argument('features', {name: Code(f'tfds.features.{line}')})}"
    )


def _class_names(loader: Loader) -> list[str] | None:
    """`dataset.classes`, torchvision's convention, also through Subset and ConcatDataset.

    A tuple of synonyms (as ImageNet's) becomes one name, joined by ", ".
    """
    found = _find_classes(loader.dataset)
    if found is None:
        return None
    names = [", ".join(map(str, name)) if isinstance(name, tuple | list) else str(name) for name in found]
    return names or None


def _find_classes(dataset: Dataset) -> Sequence[object] | None:
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


def _named_columns(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Names of the classes of each ClassLabel of a Hugging Face dataset, also through Subset and ConcatDataset."""
    data = torch_module().utils.data
    if isinstance(dataset, data.Subset):
        return _named_columns(dataset.dataset)
    if isinstance(dataset, data.ConcatDataset):
        found = [_named_columns(part) for part in dataset.datasets]
        return {key: names for key, names in found[0].items() if all(part.get(key) == names for part in found)} if found else {}
    features = getattr(dataset, "features", None) if type(dataset).__module__.startswith("datasets.") else None
    return dict(_walk(features, "")) if isinstance(features, Mapping) else {}


def _walk(feature: Feature, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(feature, Mapping):
        for key, item in feature.items():
            yield from _walk(item, f"{path}/{key}" if path else str(key))
    elif type(feature).__name__ == "ClassLabel":
        yield path, tuple(map(str, feature.names or ()))
    elif hasattr(feature, "feature"):  # a list
        yield from _walk(feature.feature, path)
