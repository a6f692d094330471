"""What a person sees while something long runs: decisions once, then how far it is. On stderr.

A terminal and a notebook get a bar; a log file gets a line every so often, which reads well after the event.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from typing import Any, TextIO

_SECONDS, _SHARE = 30.0, 0.1
"""A log file gets its next line after so many seconds and, where the whole is known, so great a part of it: the later."""


class Progress:
    """How many examples are done, with bytes and shards beside that; or, with `unit="B"`, how many bytes.

    Args:
      show: True for a bar, None for a bar in a terminal or a notebook and lines elsewhere, False to say nothing.
      total: how many are expected, or None.
      description: what it is about, in a word.
      unit: what is counted.
    """

    def __init__(self, show: bool | None, total: int | None, description: str, unit: str = "examples") -> None:
        self._quiet = show is False
        self._total, self._description, self._unit = total, description, unit
        self._count = self._passed = self._bytes = self._shards = 0
        self._start = self._said_at = time.monotonic()
        self._said_count = 0
        self._bar: Any = None
        if show or (show is None and (_is_terminal(sys.stderr) or _in_notebook())):
            units = {"unit": "B", "unit_divisor": 1024} if unit == "B" else {"unit": f" {unit}"}
            self._bar = _bar()(total=total, desc=description, unit_scale=True, **units, **_room())

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._set_postfix()
            self._bar.refresh()
            self._bar.close()

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        elif not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def pass_over(self, count: int, shards: int) -> None:
        """Counts what was done before, and leaves it out of the speed that is shown."""
        self._count += count
        self._passed += count
        self._said_count += count
        self._shards += shards
        if self._bar is not None:
            self._bar.initial += count
            self._bar.n += count
            self._bar.last_print_n += count

    def add_batch(self, rows: int, size: int) -> None:
        """Counts examples, and their bytes."""
        self._bytes += size
        self.add(rows)

    def add(self, count: int) -> None:
        """Counts what is done, and shows it if it is time."""
        self._count += count
        if self._bar is not None:
            self._set_postfix()
            self._bar.update(count)
        elif not self._quiet and self._is_time():
            self._said_at, self._said_count = time.monotonic(), self._count
            self.say(self._line())

    def add_shard(self) -> None:
        self._shards += 1

    def _set_postfix(self) -> None:
        if self._unit != "B":
            self._bar.set_postfix(bytes=_human(self._bytes), shards=self._shards, refresh=False)

    def _is_time(self) -> bool:
        if time.monotonic() - self._said_at < _SECONDS:
            return False
        return self._total is None or self._count - self._said_count >= _SHARE * self._total

    def _line(self) -> str:
        """`digits: 600 of 1,797 examples (33 %), 37.5 KiB, 2 shards, 19 examples/s, 0:01:03 left`."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = (self._count - self._passed) / seconds
        if self._unit == "B":
            return f"{self._description}: {_human(self._count)}, {_human(rate)}/s"
        of = "" if self._total is None else f" of {self._total:,}"
        share = "" if not self._total else f" ({min(self._count / self._total, 1):.0%})"
        parts = [
            f"{self._count:,}{of} {self._unit}{share}", _human(self._bytes), f"{self._shards:,} shards",
            f"{rate:,.3g} {self._unit}/s" if rate < 100 else f"{rate:,.0f} {self._unit}/s",
        ]  # fmt: skip
        if self._total is not None and rate and self._count < self._total:
            parts.append(f"{_clock((self._total - self._count) / rate)} left")
        return f"{self._description}: {', '.join(parts)}"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _in_notebook() -> bool:
    """Whether this runs in a notebook's kernel, whose output is no terminal, and shows a bar all the same."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


def _bar() -> Any:
    """tqdm's bar for where this runs. It warns where a notebook has no widgets, and then draws with text, which will do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm


def _room() -> dict[str, Any]:
    """The room a bar has: what the terminal says, now and later. Some say 0, and tqdm would draw nothing."""
    if _is_terminal(sys.stderr):
        with contextlib.suppress(OSError):
            if not os.get_terminal_size(sys.stderr.fileno()).columns:
                return {"ncols": 80, "nrows": 24}
    return {"dynamic_ncols": True}


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


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
