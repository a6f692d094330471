"""What a loader does to the data that its owner may not know: examples lost, repeated, frozen, blown up.

>>> export(loader, data_dir, name="ds", on_hazard={"default": "error", "drop_last": "ignore"})     # doctest: +SKIP

Here: the hazards by name, what to do about each, and the loaders watched from before the first byte to
the end. `exporters.hazards.before` looks at loaders, `exporters.hazards.draining` at what they give.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from exporters import wording
from exporters.errors import ArgumentError, HazardError, HazardWarning
from exporters.hazards.digests import Digester, Layouts, Tally
from exporters.outcome import Action, Counts, Hazard, HazardName

ACTIONS = get_args(Action)
DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Kind:
    """One hazard: when it is found, what it means, and the line that mends it."""

    found: str
    meaning: str
    remedy: str


BEFORE, DRAINING, END = "before the first byte", "while draining", "at the end of the split"

HAZARDS: Mapping[HazardName, Kind] = {
    "drop_last": Kind(BEFORE, "`drop_last=True` leaves out the last, short batch", "DataLoader(..., drop_last=False)"),
    "sampler_repeats": Kind(
        BEFORE, "the sampler draws with replacement: examples repeat, others are missing", "DataLoader(..., shuffle=True)"
    ),
    "sampler_shorter": Kind(
        BEFORE,
        "the samplers of all splits together draw fewer examples than their dataset has",
        "DataLoader(dataset, sampler=None)",
    ),
    "random_transform": Kind(
        BEFORE,
        "a random transform: the export freezes one draw of it for ever",
        "dataset.transform = None  # and no such collate_fn: export what is fixed, augment where you train",
    ),
    "workers_repeat": Kind(
        DRAINING,
        "every worker of an iterable dataset gives the same rows",
        "shard in __iter__: itertools.islice(rows, info.id, None, info.num_workers) with torch.utils.data.get_worker_info()",
    ),
    "more_examples": Kind(
        DRAINING,
        "the loader gives more examples than its sampler or its dataset's length promised: examples may be cut into rows",
        "let each row be one example: DataLoader(dataset, batch_size=64); if each item of the dataset is a batch: "
        "DataLoader(dataset, batch_size=1, collate_fn=operator.itemgetter(0))",
    ),
    "layout_doubtful": Kind(
        DRAINING,
        "`layouts=` takes another axis for the channels than the shape shows: images would be stored on their side",
        'say where the channels are: layouts={"image": "NCHW"}',
    ),
    "float_images": Kind(
        DRAINING,
        "float images of evenly spaced values that 8 bits can hold: several times the size, and no viewer shows them",
        "leave ToTensor() and Normalize() out of the export: torchvision.transforms.v2.PILToTensor()",
    ),
    "padding": Kind(
        DRAINING,
        "collate_fn pads rows of different lengths: the padding is stored, and the lengths are not",
        'add the lengths to the batch in collate_fn, {"length": torch.tensor([len(row) for row in rows])}, '
        'and say unpad={"tokens": "length"}',
    ),
    "not_finite": Kind(DRAINING, "NaN or infinite values", "drop or fill them: torch.nan_to_num(x)"),
    "duplicates": Kind(END, "examples that equal an earlier one of the split, bit for bit", "drop them from the dataset"),
    "shared_examples": Kind(
        END, "examples that are in an earlier split too, bit for bit", "give each split its own part of the dataset"
    ),
    "single_class": Kind(END, "the label has one value in the whole split", "shuffle before you split the dataset"),
    "examples_missing": Kind(
        END,
        "the loader gave fewer examples than its sampler or its dataset's length promised",
        "let collate_fn keep every example",
    ),
}
"""Every hazard by its name. docs/hazards.md has the same table, and the rules."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What an inspection or observation says; `text` completes the sentence that begins with the split.

    `remedy` is what mends it, where that is more than the table says: it has the names of the features.
    """

    name: HazardName
    count: int | None
    text: str
    remedy: str = ""


def check_policy(on_hazard: Any) -> dict[str, str]:
    """What to do about each hazard.

    Args:
      on_hazard: "error", "warn" or "ignore" for all of them, or a mapping of hazard name to one of
        these; the key "default" stands for those not named, and is "warn" if it is not there.

    Raises:
      ArgumentError: an unknown hazard or action.
    """
    given = dict(on_hazard) if isinstance(on_hazard, Mapping) else {DEFAULT: on_hazard}
    for name, action in given.items():
        if name != DEFAULT and name not in HAZARDS:
            raise ArgumentError(
                f"{wording.argument('on_hazard')} names {name!r:.80}, which is no hazard; "
                f"hazards: {', '.join((*HAZARDS, DEFAULT))}"
            )
        if action not in ACTIONS:
            raise ArgumentError(
                f"{wording.called('on_hazard')} must be 'error', 'warn' or 'ignore', "
                f"or {wording.either('a mapping of hazards to those', 'HAZARD=ACTION')} "
                f"(got {action!r:.80}); for example {wording.argument('on_hazard', {'drop_last': 'ignore'})}"
            )
    return {name: given.get(name, given.get(DEFAULT, "warn")) for name in HAZARDS}


class Watch:
    """Watches the loaders of one export.

    Args:
      loaders: by split.
      on_hazard: see `check_policy`.

    Attributes:
      found: hazards found so far, those ignored left out.
      counts: by split that has been drained.
    """

    def __init__(self, loaders: Mapping[str, Any], on_hazard: Any) -> None:
        self._loaders, self._policy = dict(loaders), check_policy(on_hazard)
        self.found: list[Hazard] = []
        self.counts: dict[str, Counts] = {}
        self.layouts, self.digester, self.tally = Layouts(), Digester(), Tally()

    def watches(self, *names: str) -> bool:
        """Whether any of these hazards is not ignored."""
        return any(self._policy[name] != "ignore" for name in names)

    def raises(self, name: str) -> bool:
        """Whether this hazard ends the export."""
        return self._policy[name] == "error"

    def inspect(self, *, reads: bool = True) -> None:
        """Reports what the loaders themselves show, before anything is drained.

        Args:
          reads: whether an example may be read (twice).

        Raises:
          HazardError: one of that is an error.
        """
        from exporters.hazards.before import inspect

        for split, loader in self._loaders.items():
            self.report(split, inspect(loader, self._loaders.values(), self.watches, reads=reads))

    def report(self, split: str, findings: Iterable[Finding]) -> None:
        """Warns of what was found, once per hazard and split.

        Raises:
          HazardError: one of it is an error.
        """
        for finding in findings:
            name = finding.name
            if not self.watches(name) or any((hazard.name, hazard.split) == (name, split) for hazard in self.found):
                continue
            remedy = finding.remedy or wording.spoken(HAZARDS[name].remedy)
            message = (
                f"split {split!r}: {finding.text} ({name}); to mend it: {remedy}; "
                f"to accept it: {wording.argument('on_hazard', {name: 'ignore'})}"
            )
            self.found.append(Hazard(name, split, finding.count, message))
            if self.raises(name):
                raise HazardError(f"{message}; nothing was published")
            warnings.warn(HazardWarning(message), stacklevel=_stacklevel())

    def finish(self, split: str, counts: Counts) -> str:
        """Keeps the counts of a split, and gives its summary in one line."""
        self.counts[split] = counts
        names = [hazard.name for hazard in self.found if hazard.split == split]
        return f"{split}: {counts}" + (f"; hazards: {', '.join(names)}" if names else "")


def _stacklevel() -> int:
    """The `stacklevel` at which the caller of `report` warns in the name of the code that called this package."""
    frame, level, package = sys._getframe(1), 1, __name__.partition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
