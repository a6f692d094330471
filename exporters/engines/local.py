"""The local engine: task after task, in the loader's order, in this process.

Batches are drained by the calling thread (a DataLoader's workers report their death to the main thread); hashing and writing
go on meanwhile in the staged files' own threads. Tasks that follow each other share one iteration of the loader.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterable
from typing import TypeVar

from exporters.engines.base import Place, Session, Work

Task = TypeVar("Task")
Done = TypeVar("Done")


@dataclasses.dataclass(frozen=True)
class Local:
    """`engine="local"`; it has no options."""

    @property
    def place(self) -> Place:
        return Place.HERE

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, work: Work[Task, Done], tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """As `engines.base.Engine.run`; the results come in the order of the tasks."""
        with contextlib.ExitStack() as stack:
            session: Session[Task, Done] | None = None
            for task in tasks:
                if session is None or not session.goes_on_with(task):
                    stack.close()
                    session = stack.enter_context(work.open(task))
                done = session.write(task)
                if done is None:
                    return
                yield done
