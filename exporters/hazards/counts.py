"""How many examples a split has, beside what its loader promised, and how many values its label has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from exporters import wording
from exporters.features.fields import AnyField, Field
from exporters.hazards.base import DRAINING, END, Finding, HazardKind, Look, Scope
from exporters.hazards.digests import Tally
from exporters.outcome import Counts
from exporters.schema.class_names import LABELS
from tfds_builder.features.kinds import kind_of

_FEW_ROWS = 32
"""A split smaller than that may well have one class only."""


@dataclasses.dataclass
class Rows:
    """Examples looked at."""

    count: int = 0


class MoreExamples(HazardKind[Rows, Rows]):
    """More examples come than were promised: told at the batch that has the first of them."""

    name, found, keeps = "more_examples", DRAINING, "rows"
    meaning = "the loader gives more examples than its sampler or its dataset's length promised: examples may be cut into rows"
    remedy = (
        "let each row be one example: DataLoader(dataset, batch_size=64); if each item of the dataset is a batch: "
        "DataLoader(dataset, batch_size=1, collate_fn=operator.itemgetter(0))"
    )

    def start(self, total: Rows | None) -> Rows:
        return Rows()

    def add(self, seen: Rows, look: Look) -> None:
        seen.count += look.rows

    def begin(self, tally: Tally) -> Rows:
        return Rows()

    def merge(self, total: Rows, seen: Rows) -> None:
        total.count += seen.count

    def now(self, total: Rows | None, seen: Rows) -> Iterator[Finding]:
        promised = self.scope.promised
        if promised is not None and (total.count if total else 0) + seen.count > promised:
            text = (
                f"the loader gives more than the {wording.plural(promised, 'example')} that its sampler, or its dataset's length"
            )
            yield Finding("more_examples", None, f"{text}, promised")


class ExamplesMissing(HazardKind[None, None]):
    """Fewer examples came than were promised."""

    name, found = "examples_missing", END
    meaning = "the loader gave fewer examples than its sampler or its dataset's length promised"
    remedy = "let collate_fn keep every example"

    def finish(self, total: None, counts: Counts) -> Iterator[Finding]:
        if counts.expected is not None and counts.read < counts.expected:
            missing = counts.expected - counts.read
            yield Finding("examples_missing", missing, f"{missing:,} of the {counts.expected:,} examples expected did not come")


@dataclasses.dataclass
class Labels:
    """What labels are.

    Attributes:
      values: by label, the one value that all examples have; None before the first of them. Those with several values are not
        there. None before the first shard.
      declared: those that are declared as classes, of which -1 says that there is none.
    """

    values: dict[str, int | None] | None = None
    declared: frozenset[str] = frozenset()


class SingleClass(HazardKind[Labels, Labels]):
    """A label has one value in the whole split."""

    name, found, keeps = "single_class", END, "labels"
    meaning = "the label has one value in the whole split"
    remedy = "shuffle before you split the dataset"

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._labels = [field.name for field in scope.fields if _is_label(field, scope.target)]
        self._declared = frozenset(field.name for field in scope.fields if kind_of(field.feature).is_label)

    def start(self, total: Labels | None) -> Labels:
        return Labels(dict.fromkeys(self._labels if total is None or total.values is None else total.values), self._declared)

    def add(self, seen: Labels, look: Look) -> None:
        assert seen.values is not None, "it was started"
        for name, value in list(seen.values.items()):
            labels = look.columns[name]
            if not isinstance(labels, np.ndarray):
                raise TypeError(f"{name!r} is no label: its rows have several values")
            value = int(labels[0]) if value is None else value
            if np.all(labels == value):
                seen.values[name] = value
            else:
                del seen.values[name]

    def begin(self, tally: Tally) -> Labels:
        return Labels()

    def merge(self, total: Labels, seen: Labels) -> None:
        values, total.declared = seen.values or {}, seen.declared
        if total.values is None:
            total.values = dict(values)
        both = {name: (value, values[name]) for name, value in total.values.items() if name in values}
        total.values = {
            name: here if there is None else there
            for name, (there, here) in both.items()
            if there is None or here is None or there == here
        }

    def finish(self, total: Labels, counts: Counts) -> Iterator[Finding]:
        if counts.read < _FEW_ROWS:
            return
        for name, value in (total.values or {}).items():
            if value != -1 or name not in total.declared:
                yield Finding("single_class", counts.read, f"{name!r} is {value} in all {wording.plural(counts.read, 'example')}")


def _is_label(field: AnyField, target: str | None) -> bool:
    """Whether a field is a class label: declared as one, or an integer that is the target or called like one."""
    if not isinstance(field, Field) or field.shape or field.dtype.kind not in "iu":
        return False
    return kind_of(field.feature).is_label or field.name == target or field.name.split("/")[-1] in LABELS
