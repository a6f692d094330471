"""Arguments in the words of whoever called: keywords of Python, or options of the command line.

>>> argument("overwrite", True), passing("overwrite", True)
('overwrite=True', 'pass overwrite=True')
>>> with command_line():
...     argument("layouts", {"image": "NCHW"}), passing("overwrite", True)
('--layout image=NCHW', 'add --overwrite')

Every message of this package that names an argument of `export` takes its words from here, so that the line it gives
works where it is read.
"""

from __future__ import annotations

import ast
import contextlib
import contextvars
import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import cast

from tfds_builder.aliases import Feature

_SPEAKS_OPTIONS = contextvars.ContextVar("speaks options", default=False)
_NO_VALUE = object()
_MEBIBYTE = 1024 * 1024

_OPTIONS: Mapping[str, str] = {
    "data_dir": "DATA_DIR",
    "engine_options": "--engine-option",
    "layouts": "--layout",
    "loaders": "MODULE:FACTORY",
    "names": "--rename",
    "shard_bytes": "--shard-mib",
    "supervised_keys": "--supervised",
}
"""Where an option is not called as its keyword is."""

_VALUE = re.compile(r"\b(integers|layouts|names|on_hazard|unpad)=(\{[^{}]*\}|\[[^][]*\])")
_CLASS_LABEL = re.compile(r"(?:tfds\.features\.)?ClassLabel\((?:num_classes=(?:(\d+)|\.\.\.)|names=.*)\)", re.DOTALL)
_MODULES: Mapping[str, str] = {
    "np": "numpy as np",
    "ml_dtypes": "ml_dtypes",
    "tf": "tensorflow as tf",
    "tfds": "tensorflow_datasets as tfds",
}


@dataclasses.dataclass(frozen=True)
class Code:
    """A value that is written as it is: an expression of Python.

    >>> argument("features", {"label": Code("tfds.features.ClassLabel(num_classes=10)")})
    'features={"label": tfds.features.ClassLabel(num_classes=10)}'
    """

    text: str

    def __str__(self) -> str:
        return self.text


def argument(name: str, value: object = _NO_VALUE) -> str:
    """An argument of `export` and, if one is given, its value, as the caller would write it.

    Args:
      name: the keyword.
      value: a bool, str, number, `Code`, a list of names, or a mapping of feature (or hazard) to one of these; of
        `integers`, to a pair of tuples of numbers.
    """
    if _SPEAKS_OPTIONS.get():
        return _option(name, value)
    return f"{name}=" if value is _NO_VALUE else f"{name}={_literal(value)}"


def called(name: str) -> str:
    """What an argument is called, to speak of it: `shard_bytes`, or `--shard-mib`."""
    return either(name, _OPTIONS.get(name, "--" + name.replace("_", "-")))


def passing(name: str, value: object = _NO_VALUE) -> str:
    """Advice to give an argument: `pass overwrite=True`, or `add --overwrite`."""
    return f"{either('pass', 'add')} {argument(name, value)}"


def amount(name: str, value: object) -> str:
    """The value of an argument in its own unit, which for the size of a shard is bytes in Python and MiB on a command line.

    >>> with command_line():
    ...     amount("shard_bytes", 10485)
    '0.01'
    """
    if name == "shard_bytes" and _SPEAKS_OPTIONS.get():
        return _mebibytes(cast(int, value))
    return str(value)


def either(python: str, command: str) -> str:
    """The words for whoever calls from Python, or for whoever sits at a command line."""
    return command if _SPEAKS_OPTIONS.get() else python


def again() -> str:
    """Advice to do the same once more."""
    return f"run the same {either('export', 'command')} again"


def spoken(text: str) -> str:
    """A text that was written for Python, with the arguments in it as the caller would write them.

    >>> with command_line():
    ...     spoken('say unpad={"tokens": "length"}')
    'say --unpad tokens=length'
    """
    return _VALUE.sub(lambda found: argument(found[1], ast.literal_eval(found[2])), text)


def plural(count: int, noun: str) -> str:
    """A number of things: `1 finished shard`, `1,200 finished shards`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextlib.contextmanager
def command_line() -> Iterator[None]:
    """Within it, everything here speaks of options."""
    token = _SPEAKS_OPTIONS.set(True)
    try:
        yield
    finally:
        _SPEAKS_OPTIONS.reset(token)


def to_bytes(mebibytes: float) -> int:
    """The `shard_bytes` of a number of MiB."""
    return max(1, int(mebibytes * _MEBIBYTE))


def _mebibytes(count: int) -> str:
    """The shortest number of MiB that stands for so many bytes."""
    texts = (f"{count / _MEBIBYTE:.{digits}g}" for digits in range(1, 18))
    return next((text for text in texts if to_bytes(float(text)) == count), str(count / _MEBIBYTE))


def _literal(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}": {_literal(item)}' for key, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _option(name: str, value: object) -> str:
    if name == "progress" and value is False:
        return "--quiet"
    option = called(name)
    if name == "features" and value is _NO_VALUE:
        return "--features or --classes"
    if value is _NO_VALUE or value is True:
        return option
    if name == "features" and isinstance(value, Mapping):
        return _features_option(value)
    if isinstance(value, Mapping):
        return " ".join(f"{option} {shlex.quote(f'{key}={_typed(item)}')}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(f"{option} {shlex.quote(str(item))}" for item in value)
    return f"{option} {shlex.quote(amount(name, value))}"


def _typed(value: object) -> str:
    """A value of a mapping as it is typed: that of `integers`, a mean and a std of each channel, as `0.5,0.4/0.2,0.3`."""
    if not isinstance(value, tuple):
        return str(value)
    return "/".join(",".join(map(str, part)) for part in value)


def _features_option(features: Mapping[str, Feature]) -> str:
    """The options that say what `features` does: class names, or a file that Python writes in a line of its own.

    >>> _features_option({"label": Code("tfds.features.ClassLabel(num_classes=10)")})
    '--classes label=10'
    """
    found = {name: _CLASS_LABEL.fullmatch(str(code)) for name, code in features.items()}
    if features and all(found.values()):
        classes = {name: match[1] or "NAMES" for name, match in found.items() if match is not None}
        return " ".join(f"--classes {shlex.quote(f'{name}={value}')}" for name, value in classes.items())
    text = _literal(features)
    modules = ", ".join(module for word, module in _MODULES.items() if word == "tfds" or re.search(rf"\b{word}\.", text))
    script = f'import {modules}; tfds.features.FeaturesDict({text}).save_config(".")'
    return f"--features features.json, a file that this writes: python -c {shlex.quote(script)}"
