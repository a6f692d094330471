"""What an engine is: it runs the tasks of an export, in whatever processes, and hands back what was done.

An engine knows nothing of formats, directories or plans. It gets a `Work`, which opens a session on the data of a task, and the
tasks. To add one: a module here, with a `run` of this form, and the line of `jobs.job` that runs the tasks. Results may come in
any order: that line puts them into the order of the shards before it notes and merges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

Task = TypeVar("Task", contravariant=True)
"""One shard to be written: a plain value."""
Done = TypeVar("Done", covariant=True)
"""What came of a task: a plain value, which can be merged with others in the order of the tasks."""


class Session(Protocol[Task, Done]):
    """The data of a split, open from one batch on."""

    def goes_on_with(self, task: Task) -> bool:
        """Whether the task begins where the session is: then it need not be opened anew."""

    def write(self, task: Task) -> Done | None:
        """Does a task; None if the data had ended before it."""


class Work(Protocol[Task, Done]):
    """Everything that is needed to do any task of a split."""

    def open(self, task: Task) -> AbstractContextManager[Session[Task, Done]]:
        """A session that begins where the task does.

        A task may not say where that is, but that it begins where the one before it ends. Only the session that has done that
        one can do it; none can be opened for it (ValueError).
        """


class Engine(Protocol):
    """Runs tasks."""

    def run(self, work: Work[Task, Done], tasks: Iterable[Task]) -> Iterator[Done]:
        """Does the tasks and yields what was done, in any order; stops at the first for which there is no data left.

        A task counts as finished once it, and all before it, have been yielded: others are done again after a stop.

        Args:
          work: what is needed for it.
          tasks: in the order of their data. There may be no end to them: how many shards a stream makes shows as it ends.
        """
