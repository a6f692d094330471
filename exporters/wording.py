"""Arguments in the words of whoever called: keywords of Python, or options of the command line.

>>> argument("overwrite", True)
'overwrite=True'
>>> with command_line():
...     argument("overwrite", True), argument("layouts", {"image": "NCHW"})
('--overwrite', '--layout image=NCHW')

Every message of this package that names an argument of `export` takes its words from here, so that the line it gives
works where it is read.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

_SPEAKS_OPTIONS = contextvars.ContextVar("speaks options", default=False)
_NO_VALUE = object()

_OPTIONS: Mapping[str, str] = {
    "data_dir": "DATA_DIR",
    "layouts": "--layout",
    "names": "--rename",
    "shard_bytes": "--shard-mib",
    "supervised_keys": "--supervised",
}
"""Where an option is not called as its keyword is."""


@dataclasses.dataclass(frozen=True)
class Code:
    """A value that is written as it is: an expression of Python.

    >>> argument("features", {"label": Code("tfds.features.ClassLabel(num_classes=10)")})
    'features={"label": tfds.features.ClassLabel(num_classes=10)}'
    """

    text: str

    def __str__(self) -> str:
        return self.text


def argument(name: str, value: Any = _NO_VALUE) -> str:
    """An argument of `export` and, if one is given, its value, as the caller would write it.

    Args:
      name: the keyword.
      value: a bool, str, number, `Code`, or a mapping of feature (or hazard) to one of these.
    """
    if _SPEAKS_OPTIONS.get():
        return _option(name, value)
    return f"{name}=" if value is _NO_VALUE else f"{name}={_literal(value)}"


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """Within it, `argument` speaks of options."""
    token = _SPEAKS_OPTIONS.set(True)
    try:
        yield
    finally:
        _SPEAKS_OPTIONS.reset(token)


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_literal(item)}' for key, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _option(name: str, value: Any) -> str:
    option = _OPTIONS.get(name, "--" + name.replace("_", "-"))
    if value is _NO_VALUE or value is True:
        return option
    if name == "features":
        return f"--features FILE.json (a features.json of TFDS, here with {_literal(value)})"
    if isinstance(value, Mapping):
        return " ".join(f"{option} {key}={item}" for key, item in value.items())
    return f"{option} {value}"
