"""What a loader does to the data that its owner may not know: examples lost, repeated, frozen, blown up.

>>> export(loader, data_dir, name="ds", on_hazard={"default": "error", "drop_last": "ignore"})     # doctest: +SKIP

Here: what is found is told, or refused. `exporters.hazards.registry` has all hazards; `exporters.hazards.observers` looks
at batches while they are drained.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable

from exporters import wording
from exporters.aliases import Loader, Policy
from exporters.errors import HazardError, HazardWarning
from exporters.hazards.base import BEFORE, Finding, Scope
from exporters.hazards.digests import AxisOrders, Tally
from exporters.hazards.registry import HAZARDS, check_policy
from exporters.outcome import Counts, Hazard


class Watch:
    """Watches the loaders of one export.

    Args:
      on_hazard: see `registry.check_policy`.
      seeded: whether generators are seeded before each batch.

    Attributes:
      actions: what is done about each hazard.
      found: hazards found so far, those ignored left out.
      counts: by split that has been drained.
      axes: the order of the columns' axes that is taken for all batches; None before the first one.
      tally: the digests of all examples so far.
    """

    def __init__(self, on_hazard: Policy, *, seeded: bool = False) -> None:
        self._seeded = seeded
        self.actions = check_policy(on_hazard)
        self.found: list[Hazard] = []
        self.counts: dict[str, Counts] = {}
        self.axes: AxisOrders | None = None
        self.tally = Tally()

    def inspect(self, split: str, loader: Loader, loaders: Iterable[Loader], *, reads: bool) -> None:
        """Reports what a loader itself shows, before the first byte.

        Args:
          split, loader: of the split.
          loaders: those of all splits.
          reads: whether the dataset may be read.

        Raises:
          HazardError: one of it is an error.
        """
        for name, kind in HAZARDS.items():
            if kind.found is BEFORE and self.actions[name] != "ignore":
                self.report(split, kind.before(loader, loaders, reads=reads, seeded=self._seeded))

    def restore(self, told: Iterable[Hazard]) -> None:
        """Tells again what an export before has told of its loaders, some of which only reading them shows.

        Raises:
          HazardError: one of it is an error now.
        """
        for hazard in told:
            if self.actions[hazard.name] != "ignore":
                self._tell(hazard)

    def report(self, split: str, findings: Iterable[Finding]) -> None:
        """Warns of what was found, once per hazard and split.

        Raises:
          HazardError: one of it is an error.
        """
        for finding in findings:
            self._tell(Hazard(finding.name, split, finding.count, _message(split, finding)))

    def _tell(self, hazard: Hazard) -> None:
        if any((known.name, known.split) == (hazard.name, hazard.split) for known in self.found):
            return
        self.found.append(hazard)
        if self.actions[hazard.name] == "error":
            raise HazardError(f"{hazard.message}; nothing was published")
        warnings.warn(HazardWarning(hazard.message), stacklevel=_stacklevel())

    def finish(self, split: str, counts: Counts) -> str:
        """Keeps the counts of a split, and gives its summary in one line."""
        self.counts[split] = counts
        names = [hazard.name for hazard in self.found if hazard.split == split]
        return f"{split}: {counts}" + (f"; hazards: {', '.join(names)}" if names else "")


def refuse(scope: Scope, findings: Iterable[Finding], *, always: bool = False) -> None:
    """Refuses what is an error, in a process that does not report: all else is told by the one that does.

    Args:
      scope: of the split.
      findings: what was found.
      always: whether it is an error wherever it is not ignored.

    Raises:
      HazardError: one of what was found is an error.
    """
    for finding in findings:
        if always or scope.is_error(finding.name):
            raise HazardError(f"{_message(scope.split, finding)}; nothing was published")


def _message(split: str, finding: Finding) -> str:
    remedy = finding.remedy or wording.spoken(HAZARDS[finding.name].remedy)
    return (
        f"split {split!r}: {finding.text} ({finding.name}); to mend it: {remedy}; "
        f"to accept it: {wording.argument('on_hazard', {finding.name: 'ignore'})}"
    )


def _stacklevel() -> int:
    """The `stacklevel` at which the caller of `report` warns in the name of the code that called this package."""
    frame, level, package = sys._getframe(1), 1, __name__.partition(".")[0]
    ours = (package, contextlib.__name__)  # which enters what `export` opens
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ours:
        frame, level = frame.f_back, level + 1
    return level
