"""`engine="processes"`: shards side by side, in processes of this machine (concurrent.futures).

Each process runs a shard from the dataset's `__getitem__` to the fsync of its file; what travels are tasks, and what was seen. It
ends with the process that began it, whatever ends that.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeVar

from exporters import wording
from exporters.draws import pickling
from exporters.draws.apart import end_with
from exporters.engines.base import Place, Work, cpus
from exporters.engines.failures import Failure
from exporters.engines.sent import do_there
from exporters.errors import ArgumentError, EngineError

Task = TypeVar("Task")
Done = TypeVar("Done")

_IN_FLIGHT = 2
"""Tasks for each process that are handed out at a time: one that it does, and one that waits."""


@dataclasses.dataclass(frozen=True)
class Processes:
    """`engine="processes"`.

    Attributes:
      workers: processes; as many as this process has CPUs, if it is None.
      start_method: "fork", "spawn" or "forkserver", as `multiprocessing` has it; Python's default, if it is None. Forked
        processes have the dataset as it is; to others it is pickled.
    """

    workers: int | None = None
    start_method: str | None = None

    def __post_init__(self) -> None:
        workers, known = self.workers, multiprocessing.get_all_start_methods()
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ArgumentError(f"{_option('workers', 4)}: a number of processes, 1 at least (got {workers!r:.80})")
        if self.start_method is not None and self.start_method not in known:
            raise ArgumentError(f"{_option('start_method', 'spawn')}: one of {', '.join(known)} (got {self.start_method!r:.80})")

    @property
    def place(self) -> Place:
        method = self.start_method or multiprocessing.get_start_method()
        return Place.FORKED if method == "fork" else Place.SENT

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, work: Work[Task, Done], tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """As `engines.base.Engine.run`.

        Raises:
          EngineError: a process was killed, or ended itself.
        """
        tasks, context = list(tasks), multiprocessing.get_context(self.start_method)
        count = min(self.workers or cpus(), len(tasks))
        if not count:
            return
        numbers = context.SimpleQueue()
        for number in range(count):
            numbers.put(number)
        halt, halter = context.Pipe(duplex=False)
        given = work if self.place is Place.FORKED else pickling.dumps(work)
        pool = ProcessPoolExecutor(count, context, _begin, (given, numbers, count, halt))
        is_done = False
        try:
            yield from _results(pool, tasks, count * _IN_FLIGHT)
            is_done = True
        except BrokenProcessPool as error:
            raise EngineError(
                "a process of the engine was killed (by the kernel, if memory ran out: then run fewer of them, "
                f"{_option('workers', max(1, count // 2))}) or ended itself; {wording.again()} to go on after what is finished"
            ) from error
        finally:
            if not is_done:
                halter.send_bytes(b"end")  # nobody takes it out, so every process sees it
            pool.shutdown(wait=True, cancel_futures=True)
            halt.close()
            halter.close()
            numbers.close()


def _option(name: str, value: object) -> str:
    return wording.argument("engine_options", {name: value})


def _results(pool: ProcessPoolExecutor, tasks: Iterable[Task], in_flight: int) -> Iterator[Any]:
    """What was done, as it is; a failure is raised once all that was done before is given out."""
    pending = set[Future[Any]]()
    waiting = iter(tasks)
    while True:
        for task in waiting:
            pending.add(pool.submit(_do, task))
            if len(pending) >= in_flight:
                break
        if not pending:
            return
        finished, pending = wait(pending, return_when=FIRST_COMPLETED)
        failed = list[Failure]()
        broken = list[BaseException]()
        for future in finished:
            if (error := future.exception()) is not None:
                broken.append(error)
            elif isinstance(done := future.result(), Failure):
                failed.append(done)
            else:
                yield done
        for failure in failed:
            failure.reraise()
        for error in broken:
            raise error


_PROCESS: list[tuple[Any, int, int]] = []
"""In a process of the pool, the work, and which process it is of how many."""


def _begin(given: Any, numbers: Any, count: int, halt: connection.Connection) -> None:
    """Begins a process of the pool. Ctrl-C, which reaches all processes of a terminal, is left to that of `export`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process of a pool has a parent"
    threading.Thread(target=end_with, args=([parent.sentinel, halt],), name="end with parent", daemon=True).start()
    _PROCESS[:] = [(given, numbers.get(), count)]


def _do(task: Task) -> Any:
    """Does a task in a process of the pool."""
    given, number, count = _PROCESS[0]
    return do_there("", lambda: given, number, count, task)
