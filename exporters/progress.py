"""What a person sees while an export runs: decisions once, then a bar. On stderr."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """A tqdm bar of examples, with bytes and shards beside it.

    Args:
      show: True for a bar, None for a bar only if stderr is a terminal, False to say nothing.
      total: examples expected, or None.
    """

    def __init__(self, show: bool | None, total: int | None, description: str) -> None:
        from tqdm import tqdm

        self._quiet = show is False
        disable = None if show is None else not show
        self._bar: Any = tqdm(total=total, unit=" examples", unit_scale=True, desc=description, disable=disable)
        self._bytes = self._shards = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if not self._quiet:
            self._bar.write(line, file=sys.stderr)

    def add_batch(self, rows: int, size: int) -> None:
        if self._bar.disable:
            return
        self._bytes += size
        self._bar.set_postfix(bytes=_human(self._bytes), shards=self._shards, refresh=False)
        self._bar.update(rows)

    def add_shard(self) -> None:
        self._shards += 1


def _human(count: float) -> str:
    """Bytes for a person.

    >>> _human(3_145_728)
    '3.0 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
