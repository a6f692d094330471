"""Engines by name, and their options as the caller gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from exporters import wording
from exporters.engines.base import Engine
from exporters.engines.beam import Beam
from exporters.engines.local import Local
from exporters.engines.processes import Processes
from exporters.engines.ray import Ray
from exporters.errors import ArgumentError

_ENGINES: Mapping[str, type[Local | Processes | Ray | Beam]] = {"local": Local, "processes": Processes, "ray": Ray, "beam": Beam}


def find(name: str, options: Mapping[str, object] | None = None) -> Engine:
    """An engine with its options.

    >>> find("processes", {"workers": 4})
    Processes(workers=4, start_method=None)

    Raises:
      ArgumentError: there is no such engine, or an option is not one of its own.
    """
    if name not in _ENGINES:
        raise ArgumentError(f"{wording.called('engine')} must be one of {', '.join(_ENGINES)} (got {name!r:.80})")
    if options is not None and not isinstance(options, Mapping):
        raise ArgumentError(f"{wording.called('engine_options')} must be a mapping of option to value (got {options!r:.80})")
    kind: Any = _ENGINES[name]  # each checks the values that it is given
    given = dict(options or {})
    if kind is Beam:
        return Beam.of_any(given)
    known = [field.name for field in dataclasses.fields(kind) if field.init]
    if unknown := [key for key in given if key not in known]:
        raise ArgumentError(
            f"{wording.called('engine_options')}: {unknown[0]!r:.80} is no option of {wording.argument('engine', name)}, which "
            f"has {', '.join(known) or 'none'}"
        )
    found: Engine = kind(**given)
    return found
