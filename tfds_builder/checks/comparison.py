"""What differs between two published versions: features, counts, classes, and which examples came, went or changed.

>>> compare("/data/digits/1.0.0", "/data/digits/1.1.0").splits["train"].came           # doctest: +SKIP
12

Examples are told apart by a digest of 128 bits of the values of their stored columns, which are the same in every format; labels
whose classes are numbered in another way, by the classes. Memory is 16 bytes an example of both versions.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from tfds_builder.aliases import Array, Buffer, JsonObject, StoredValue
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.catalog.location import read_given
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.manifest import STRINGS, Column, Manifest
from tfds_builder.contract.ragged import Ragged
from tfds_builder.table.mapped_files import Files
from tfds_builder.table.table import Segment, Table

_BLOCK_BYTES, _BLOCK_ROWS = 4 * 1024 * 1024, 4096
_VARIABLE_BYTES = 1024
_DIGEST_BYTES = 16
ROWS_LISTED = 20
"""So many row numbers of a kind are told."""
_LABEL = "ClassLabel of "


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureChange:
    """A feature that came, went or became another: how it is loaded before and after, in words; None where it is not there."""

    name: str
    before: str | None
    after: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitChange:
    """What differs in one split.

    Attributes:
      before, after: how many examples; None where there is no such split.
      kept, came, went, changed: how many examples are in both; only in the later one; only in the earlier one; and in both
        with other values: they stand at the same place among those that were kept. All 0 in splits that both have where nothing
        could be compared.
      is_reordered: whether those kept are in another order.
      came_rows, went_rows, changed_rows: the first of their numbers, `ROWS_LISTED` at most; those that came in the later version,
        the others in the earlier one.
      moved_from: of the examples that came (and of the new values of those that changed), how many were in another split before.
      classes: of each label whose balance differs: by class, how often it occurred before and after.
    """

    before: int | None
    after: int | None
    kept: int = 0
    came: int = 0
    went: int = 0
    changed: int = 0
    is_reordered: bool = False
    came_rows: tuple[int, ...] = ()
    went_rows: tuple[int, ...] = ()
    changed_rows: tuple[int, ...] = ()
    moved_from: Mapping[str, int] = dataclasses.field(default_factory=dict)
    classes: Mapping[str, Mapping[str, tuple[int, int]]] = dataclasses.field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        there = self.before is not None and self.after is not None
        differs = self.came or self.went or self.changed or self.is_reordered or self.classes or self.before != self.after
        return there and not differs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What differs between two versions.

    Attributes:
      before, after: what `tfds.load` calls them.
      features: what differs about features.
      compared_by: the columns that examples were compared by: those that both store in the same way.
      by_class_name: those of them, labels, that were compared by their classes' names, as these have other numbers.
      not_compared: the features of both that examples were not compared by.
      is_read: whether examples were read. They are not where the manifests are the same; that the files are there, with their
        sizes, is always looked at.
      splits: by name, of both versions.
      is_same: whether whoever loads one gets what whoever loads the other does. Descriptions, release notes, the format and
        how examples are cut into shards are not looked at.
    """

    before: str
    after: str
    features: tuple[FeatureChange, ...]
    compared_by: tuple[str, ...]
    by_class_name: tuple[str, ...]
    not_compared: tuple[str, ...]
    is_read: bool
    splits: Mapping[str, SplitChange]

    @property
    def is_same(self) -> bool:
        return not self.features and all(split.is_same for split in self.splits.values())

    def to_json(self) -> JsonObject:
        """As what `json.dumps` takes."""
        return {"is_same": self.is_same, **dataclasses.asdict(self)}


def compare(before: AnyDirectory, after: AnyDirectory, on_bytes: Callable[[int], object] = lambda count: None) -> Comparison:
    """Compares two version directories, of one dataset or of two.

    Args:
      before, after: `<data_dir>/<name>/<version>`, or of a config.
      on_bytes: called with the number of bytes of each block that was read, for a progress bar.

    Raises:
      MissingFileError, ManifestError, DamagedFileError: one of them cannot be read, or a file is not there or of another size.
        What is in files is not verified.
    """
    sides = [_Side(Directory.given(place).resolved(), on_bytes) for place in (before, after)]
    old, new = sides
    features = tuple(_compare_features(old, new))
    renumbered = _renumbered(old, new)
    by_name = {column.name: column for column in new.manifest.columns}
    alike = [column for column in old.manifest.columns if _is_alike(column, by_name.get(column.name))]
    names = [column.name for column in alike if not _lies_in(column.name, renumbered) or column.name in old.labels]
    is_read = not old.manifest.digest or old.manifest.digest != new.manifest.digest
    if not is_read:
        counts = {name: split.examples for name, split in new.manifest.splits.items()}
        splits = {name: SplitChange(before=count, after=count, kept=count) for name, count in counts.items()}
    else:
        for side in sides:
            side.read(names, renumbered)
        splits = {name: _compare_split(name, old, new, bool(names)) for name in dict.fromkeys([*old.splits, *new.splits])}
    titles = [side.manifest.tfds_name for side in sides]
    return Comparison(
        before=titles[0],
        after=titles[1],
        features=features,
        compared_by=tuple(names),
        by_class_name=tuple(name for name in names if name in renumbered),
        not_compared=tuple(
            name for name in old.features if name in new.features and not any(_lies_in(of, [name]) for of in names)
        ),
        is_read=is_read,
        splits=splits,
    )


def _is_alike(column: Column, other: Column | None) -> bool:
    """Whether the values of two columns may be compared."""
    return other is not None and (column.dtype, column.shape) == (other.dtype, other.shape)


def _lies_in(column: str, features: Collection[str]) -> bool:
    """Whether a column is of one of some features."""
    return any(column == name or column.startswith(f"{name}/") for name in features)


def _renumbered(old: _Side, new: _Side) -> dict[str, dict[str, int]]:
    """The labels of which a number is another class in one version than in the other: numbers for all classes, by name."""
    found = {}
    for label, before in old.manifest.labels.items():
        after = new.manifest.labels.get(label, ())
        if any(one != other for one, other in zip(before, after, strict=False)):
            found[label] = {name: number for number, name in enumerate(dict.fromkeys([*before, *after]))}
    return found


@dataclasses.dataclass(frozen=True)
class _Split:
    """The digests of the rows of a split, void of 16 bytes; and how often each class of each label occurs."""

    digests: Array
    classes: Mapping[str, Mapping[str, int]]


class _Side:
    """One of the two versions."""

    def __init__(self, directory: Directory, on_bytes: Callable[[int], object]) -> None:
        self.manifest: Manifest = read_given(directory)
        self.features: dict[str, Loaded] = {feature.name: feature for feature in describe(self.manifest)}
        self.labels = {
            column.name
            for column in self.manifest.columns
            if column.name in self.features and _LABEL in self.features[column.name].note and column.encoding != STRINGS
        }
        self._directory, self._on_bytes = directory, on_bytes
        files = Files(directory)
        for file in self.manifest.files:
            files.check(file)
        self.splits: dict[str, _Split] = dict.fromkeys(self.manifest.splits, _Split(np.empty(0, f"V{_DIGEST_BYTES}"), {}))

    def read(self, names: Sequence[str], renumbered: Mapping[str, Mapping[str, int]]) -> None:
        """Reads those columns, and the labels; some of these with other numbers for their classes."""
        numbers = {
            label: (np.array([by_class[name] for name in self.manifest.labels[label]], np.int64), len(by_class))
            for label, by_class in renumbered.items()
        }
        for name in self.splits:
            self.splits[name] = self._read_split(name, names, numbers)

    def _read_split(self, split: str, names: Sequence[str], numbers: Mapping[str, tuple[Array, int]]) -> _Split:
        shards = self.manifest.splits[split].shards
        table = Table(self._directory, self.manifest, [Segment(shard, 0, shard.rows) for shard in shards])
        labels = {name: self.manifest.labels.get(name, ()) for name in self.labels}
        every = list(dict.fromkeys([*names, *labels]))
        out, counts = np.empty(len(table), f"V{_DIGEST_BYTES}"), {name: dict[str, int]() for name in labels}
        is_variable = any(column.is_variable for column in table.columns(every))
        width = table.row_bytes(every) + (_VARIABLE_BYTES if is_variable else 0)
        step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(1, width)))
        for start in range(0, len(table), step):
            stop = min(len(table), start + step)
            columns = table.read(slice(start, stop), every)
            for name, class_names in labels.items():
                _count(columns[name], class_names, counts[name])
            compared = [_renumber(columns[name], *numbers[name]) if name in numbers else columns[name] for name in names]
            _digest_rows(compared, out[start:stop])
            self._on_bytes((stop - start) * width)
        return _Split(out, counts)


def _count(found: StoredValue, names: Sequence[str], counts: dict[str, int]) -> None:
    """Adds how often each class occurs, by its name, or its number where it has none."""
    values, times = np.unique(found.values if isinstance(found, Ragged) else found, return_counts=True)
    for value, count in zip(values.tolist(), times.tolist(), strict=True):
        name = names[value] if 0 <= value < len(names) else str(value)
        counts[name] = counts.get(name, 0) + count


def _renumber(found: StoredValue, numbers: Array, classes: int) -> StoredValue:
    """Labels with other numbers for their classes; what is no class stays none.

    Args:
      found: the labels.
      numbers: the new ones, by the old ones.
      classes: how many classes there are in the new ones.
    """
    if isinstance(found, Ragged):
        return dataclasses.replace(found, values=_renumber(found.values, numbers, classes))
    values = found.astype(np.int64)
    is_class = (values >= 0) & (values < len(numbers))
    out: Array = np.where(is_class, numbers[np.where(is_class, values, 0)], values + classes * (values > 0))
    return out


def _digest_rows(columns: Sequence[StoredValue], out: Array) -> None:
    """The digest of each row of some columns, as `Table.read` gives them."""
    parts = [_bytes_of_rows(column) for column in columns]
    digests = out.view(np.uint8).reshape(-1, _DIGEST_BYTES)
    for row in range(len(out)):
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for part in parts:
            digest.update(next(part))
        digests[row] = np.frombuffer(digest.digest(), np.uint8)


def _bytes_of_rows(column: StoredValue) -> Iterator[Buffer]:
    """The bytes of each row; those that differ in length begin with how many values they have."""
    if isinstance(column, np.ndarray) and column.dtype != object:
        rows = np.ascontiguousarray(column).reshape(len(column), -1)
        yield from rows.view(np.uint8) if rows.shape[1] else [b""] * len(rows)
        return
    for row in range(len(column)):
        values = column[row]
        if isinstance(values, bytes):
            yield len(values).to_bytes(8, "little") + values
        elif values.dtype == object:
            strings = values.ravel().tolist()
            yield b"".join([len(strings).to_bytes(8, "little"), *(len(s).to_bytes(8, "little") + s for s in strings)])
        else:
            yield len(values).to_bytes(8, "little") + np.ascontiguousarray(values).tobytes()


def _compare_features(old: _Side, new: _Side) -> Iterator[FeatureChange]:
    for name in dict.fromkeys([*old.features, *new.features]):
        before, after = (_describe(side, name) for side in (old, new))
        if before != after:
            yield FeatureChange(name=name, before=before, after=after)


def _describe(side: _Side, name: str) -> str | None:
    """A feature in words, class names included."""
    feature = side.features.get(name)
    if feature is None:
        return None
    names = side.manifest.labels.get(name)
    parts = [f"{feature.shape} {feature.dtype}", feature.note, f"({', '.join(names)})" if names else ""]
    return " ".join(filter(None, parts))


def _compare_split(name: str, old: _Side, new: _Side, is_compared: bool) -> SplitChange:
    if name not in old.splits or name not in new.splits:
        counts = [len(side.splits[name].digests) if name in side.splits else None for side in (old, new)]
        moved = _moved(name, new.splits[name].digests, old) if is_compared and name in new.splits else {}
        return SplitChange(before=counts[0], after=counts[1], went=counts[0] or 0, came=counts[1] or 0, moved_from=moved)
    before, after = old.splits[name], new.splits[name]
    if not is_compared:
        balance = _compare_classes(before.classes, after.classes)
        return SplitChange(before=len(before.digests), after=len(after.digests), classes=balance)
    first, second, is_reordered = _match(before.digests, after.digests)
    gone, arrived = np.flatnonzero(~first), np.flatnonzero(~second)
    paired_gone, paired_arrived = _pair(first, second, gone, arrived)
    went, came = np.setdiff1d(gone, paired_gone), np.setdiff1d(arrived, paired_arrived)
    return SplitChange(
        before=len(before.digests),
        after=len(after.digests),
        kept=int(first.sum()),
        came=len(came),
        went=len(went),
        changed=len(paired_gone),
        is_reordered=is_reordered,
        came_rows=tuple(came[:ROWS_LISTED].tolist()),
        went_rows=tuple(went[:ROWS_LISTED].tolist()),
        changed_rows=tuple(paired_gone[:ROWS_LISTED].tolist()),
        moved_from=_moved(name, after.digests[arrived], old),
        classes=_compare_classes(before.classes, after.classes),
    )


def _match(before: Array, after: Array) -> tuple[Array, Array, bool]:
    """Which rows of either are in the other one too, each as often as in both; and whether these are in another order."""
    _, numbers = np.unique(np.concatenate([before, after]), return_inverse=True)
    numbers = numbers.reshape(-1)
    old, new = numbers[: len(before)], numbers[len(before) :]
    size = int(numbers.max()) + 1 if len(numbers) else 0
    first = _occurrence(old) < np.bincount(new, minlength=size)[old]
    second = _occurrence(new) < np.bincount(old, minlength=size)[new]
    return first, second, not np.array_equal(old[first], new[second])


def _occurrence(numbers: Array) -> Array:
    """How often each number occurred before it."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.int64)
    out = np.empty(len(numbers), np.int64)
    out[order] = np.arange(len(numbers)) - np.repeat(starts, np.diff(np.r_[starts, len(numbers)]))
    return out


def _pair(first: Array, second: Array, gone: Array, arrived: Array) -> tuple[Array, Array]:
    """Of rows that are in one only, those that stand at the same place among the rows that are in both."""
    before, after = np.cumsum(first)[gone], np.cumsum(second)[arrived]
    old_key, new_key = (gap * (1 << 32) + _occurrence(gap) for gap in (before, after))
    _, left, right = np.intersect1d(old_key, new_key, assume_unique=True, return_indices=True)
    return gone[left], arrived[right]


def _moved(name: str, digests: Array, old: _Side) -> dict[str, int]:
    """How many of those examples were in other splits."""
    counts = {other: int(np.isin(digests, split.digests).sum()) for other, split in old.splits.items() if other != name}
    return {other: count for other, count in counts.items() if count}


def _compare_classes(
    before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Of labels that both have: the classes that occur more often in one than in the other."""
    found = {}
    for label in before.keys() & after.keys():
        old, new = before[label], after[label]
        changed = {name: (old.get(name, 0), new.get(name, 0)) for name in sorted(old.keys() | new.keys())}
        changed = {name: counts for name, counts in changed.items() if counts[0] != counts[1]}
        if changed:
            found[label] = changed
    return dict(sorted(found.items()))
