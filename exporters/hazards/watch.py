"""What a loader does to the data that its owner may not know: examples lost, repeated, frozen, blown up.

>>> export(loader, data_dir, name="ds", on_hazard={"default": "error", "drop_last": "ignore"})     # doctest: +SKIP

Here: the hazards by name, what to do about each, and the loaders watched from before the first byte to
the end. `exporters.hazards.before` looks at loaders, `exporters.hazards.draining` at what they give.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import Any

from exporters import wording
from exporters.errors import HazardError, HazardWarning
from exporters.hazards.digests import Digester, Layouts, Tally
from exporters.hazards.kinds import HAZARDS, Finding, check_policy
from exporters.outcome import Counts, Hazard


class Watch:
    """Watches the loaders of one export.

    Args:
      on_hazard: see `check_policy`.

    Attributes:
      found: hazards found so far, those ignored left out.
      counts: by split that has been drained.
    """

    def __init__(self, on_hazard: Any) -> None:
        self._policy = check_policy(on_hazard)
        self.found: list[Hazard] = []
        self.counts: dict[str, Counts] = {}
        self.layouts, self.digester, self.tally = Layouts(), Digester(), Tally()

    def watches(self, *names: str) -> bool:
        """Whether any of these hazards is not ignored."""
        return any(self._policy[name] != "ignore" for name in names)

    def raises(self, name: str) -> bool:
        """Whether this hazard ends the export."""
        return self._policy[name] == "error"

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
