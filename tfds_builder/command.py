"""The entry point of `torch2tfds`, and what to say where another package `exporters` lies before the producer.

It is here, and not in `exporters`, so that it runs where `import exporters` finds something else. The producer is
named, and imported only when its command is called: nothing else of this package needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import os
import pathlib
import sys
from collections.abc import Sequence

from tfds_builder.install import how_to_install

_PRODUCER = "exporters"
_HERE = pathlib.Path(__file__).parent
_HEAD_BYTES = 100_000


def main() -> None:
    """Runs the command line. Where `import exporters` finds another package, says so in a line and exits with code 2."""
    if told := explain_other(sys.path):
        print(f"torch2tfds: {told}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module(f"{_PRODUCER}.cli").main()


def explain_other(path: Sequence[str]) -> str:
    """What another package `exporters` is, and how to mend it; "" if a path has the producer of this product, or none.

    >>> explain_other(["/home/me/project", "/usr/lib/python3/site-packages"])          # doctest: +SKIP
    '`import exporters` finds /home/me/project/exporters, which is not that of torch2tfds ...'

    Nothing that is found is imported.

    Args:
      path: where modules are looked for, as `sys.path` says it.
    """
    importlib.invalidate_caches()
    spec = importlib.machinery.PathFinder.find_spec(_PRODUCER, path)
    if spec is None:
        return ""
    init = pathlib.Path(spec.origin) if spec.origin else None
    place = init.parent if init is not None and spec.submodule_search_locations is not None else init
    place = pathlib.Path(next(iter(spec.submodule_search_locations or ()))) if place is None else place
    if not _is_beside_us(place):
        found = f"`import {_PRODUCER}` finds {place}, which is not that of torch2tfds ({_HERE.parent / _PRODUCER})"
        return f"{found}: rename it, or take it off Python's path"
    return "" if init is not None and _is_producer(init) else _explain_overwritten(place)


def _is_beside_us(place: pathlib.Path) -> bool:
    """Whether a package lies beside a `tfds_builder`: that of this product, in this copy of it or another."""
    return (place.parent / _HERE.name / "__init__.py").is_file() and place.is_dir()


def _is_producer(init: pathlib.Path) -> bool:
    with contextlib.suppress(OSError), open(init, "rb") as stream:
        return f"from {_PRODUCER}.export import".encode() in stream.read(_HEAD_BYTES)
    return False


def _explain_overwritten(place: pathlib.Path) -> str:
    """Two distributions have a package of that name, and the one that was installed last has written over the other."""
    owners = importlib.metadata.packages_distributions().get(_PRODUCER, ())
    others = sorted({name for name in owners if name.lower() != "torch2tfds"})
    which = f"of {', '.join(others)}" if others else "of another distribution"
    remove = " ".join(["pip uninstall", *others, "torch2tfds"])
    return f"{os.fspath(place)} was written over by files {which}: {remove}, then {how_to_install('torch')}"
