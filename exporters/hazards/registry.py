"""Every hazard by its name, and what the caller wants done about each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from exporters import wording
from exporters.aliases import Policy
from exporters.errors import ArgumentError
from exporters.hazards import before, content, counts, padding, repeats
from exporters.hazards.base import AnyHazard, HazardKind
from exporters.outcome import Action, HazardName

_ACTIONS = get_args(Action)
_DEFAULT = "default"

_CLASSES: dict[str, type[AnyHazard]] = {
    kind.name: kind
    for module in (before, content, padding, counts, repeats)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, HazardKind) and hasattr(kind, "name")
}

HAZARDS: Mapping[HazardName, type[AnyHazard]] = {name: _CLASSES[name] for name in get_args(HazardName)}
"""In the order in which they are told where one moment shows several. docs/hazards.md has the same table, and the rules."""


def check_policy(on_hazard: Policy) -> dict[HazardName, Action]:
    """What to do about each hazard.

    Args:
      on_hazard: "error", "warn" or "ignore" for all of them, or a mapping of hazard name to one of
        these; the key "default" stands for those not named, and is "warn" if it is not there.

    Raises:
      ArgumentError: an unknown hazard or action.
    """
    given = dict(on_hazard) if isinstance(on_hazard, Mapping) else {_DEFAULT: on_hazard}
    for name, action in given.items():
        if name != _DEFAULT and name not in HAZARDS:
            raise ArgumentError(
                f"{wording.argument('on_hazard')} names {name!r:.80}, which is no hazard; "
                f"hazards: {', '.join((*HAZARDS, _DEFAULT))}"
            )
        if action not in _ACTIONS:
            raise ArgumentError(
                f"{wording.called('on_hazard')} must be 'error', 'warn' or 'ignore', "
                f"or {wording.either('a mapping of hazards to those', 'HAZARD=ACTION')} "
                f"(got {action!r:.80}); for example {wording.argument('on_hazard', {'drop_last': 'ignore'})}"
            )
    return {name: given.get(name, given.get(_DEFAULT, "warn")) for name in HAZARDS}
