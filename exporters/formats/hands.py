"""Threads that make the bytes of a shard together, where there are CPUs for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait


class Hands:
    """The calling thread, and others that help it.

    >>> with Hands(3) as hands:                                                                     # doctest: +SKIP
    ...     hands.do([work, other_work])

    Args:
      count: how many things are done at a time; of 1 there is no other thread.

    Attributes:
      count: the same.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._others = ThreadPoolExecutor(count - 1, "make bytes") if count > 1 else None  # begins threads as it needs them

    def do(self, works: Sequence[Callable[[], None]]) -> None:
        """Does a few things, `count` at most, and waits until nobody is at work any more: what was used may be changed then.

        Raises:
          Exception: what one of them raised.
        """
        if self._others is None or len(works) == 1:
            for work in works:
                work()
            return
        given = [self._others.submit(work) for work in works[:-1]]
        try:
            works[-1]()
        finally:
            wait(given)
        for each in given:
            each.result()

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, *_: object) -> None:
        if self._others is not None:
            self._others.shutdown()
