"""Studies: what a table of peers does not show. Each module has one `run(setting)` that returns its sheets."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

NAMES = (
    "growth",
    "mixing",
    "cold",
    "memory",
    "stalls",
    "startup",
    "columns",
    "workers",
    "ragged",
    "access",
    "integers",
    "scale",
    "ceiling",
)


def run(name: str, out: pathlib.Path, *, small: bool, repeat: int) -> list[Any]:
    """The sheets of a study.

    Args:
      name: one of `NAMES`.
      out: an empty directory to write in.
      small: whether it is a smoke test.
      repeat: runs of whatever is run several times.
    """
    from studies.common import Setting

    sheets: list[Any] = importlib.import_module(f"studies.{name}").run(Setting(out, small, repeat))
    return sheets
