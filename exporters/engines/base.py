"""What an engine is: it runs the tasks of an export, in whatever processes, and hands back what was done.

An engine knows nothing of formats, directories or plans. It gets a `Work`, which opens a session on the data of a task, and the
tasks. To add one: a module here, and its line in `engines.registry`. Results may come in any order: who called puts them into
the order of the shards before they are merged.
"""

from __future__ import annotations

import contextlib
import enum
import os
import pathlib
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

Task = TypeVar("Task", contravariant=True)
"""One shard to be written: a plain value."""
Done = TypeVar("Done", covariant=True)
"""What came of a task: a plain value, which can be merged with others in the order of the tasks."""


class Place(enum.Enum):
    """Where an engine does its tasks."""

    HERE = "in this process"
    FORKED = "in processes that are forked from this one, and have its memory"
    SENT = "in processes that get everything pickled"


class Session(Protocol[Task, Done]):
    """The data of a split, open from one batch on."""

    def goes_on_with(self, task: Task) -> bool:
        """Whether the task begins where the session is: then it need not be opened anew."""

    def write(self, task: Task) -> Done | None:
        """Does a task; None if the data had ended before it."""


class Work(Protocol[Task, Done]):
    """Everything that is needed to do any task of a split."""

    def prepare(self, worker: int, workers: int) -> None:
        """Prepares a process other than that of `export`, once, before its first task: which it is of how many."""

    def meeting(self) -> AbstractContextManager[pathlib.Path]:
        """A directory that every process which does tasks can write to, and that is gone afterwards. Files in it are named
        `WORD-00000.data`, or `WORD-00000.0123abcd.data`."""

    def open(self, task: Task) -> AbstractContextManager[Session[Task, Done]]:
        """A session that begins where the task does.

        A task may not say where that is, but that it begins where the one before it ends. Only the session that has done that
        one can do it; none can be opened for it (ValueError).
        """


class Engine(Protocol):
    """Runs tasks.

    Attributes:
      place: where it does them. Elsewhere than in this process, tasks are done in any order, each in a session of its own, and
        all say where they begin.
    """

    @property
    def place(self) -> Place: ...

    def run(self, work: Work[Task, Done], tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """Does the tasks and yields what was done, in any order; stops at the first for which there is no data left.

        Whoever does not take all of it closes it: then nothing of it runs any more.

        Args:
          work: what is needed for it.
          tasks: in the order of their data. There may be no end to them: how many shards a stream makes shows as it ends.
        """

    def close(self) -> None:
        """Lets go of what is kept from one split to the next, at the end of the export."""


def do(work: Work[Task, Done], task: Task) -> Done | None:
    """Does one task in a session of its own."""
    with contextlib.ExitStack() as stack:
        return stack.enter_context(work.open(task)).write(task)


def cpus() -> int:
    """How many CPUs this process may use, where the system says it; else how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
