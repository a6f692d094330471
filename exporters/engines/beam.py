"""`engine="beam"`: shards as the elements of an Apache Beam pipeline, on any runner (Dataflow, Flink, Spark, or this machine)
whose workers share the data_dir. What was done comes back as files there, while the pipeline runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import secrets
import threading
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from exporters import wording
from exporters.draws import pickling
from exporters.engines.base import Place, Work, cpus
from exporters.engines.failures import Failure, failure_of
from exporters.engines.sent import do_there
from exporters.errors import EngineError, MissingDependencyError
from tfds_builder.aliases import Package
from tfds_builder.install import how_to_install

Task = TypeVar("Task")
Done = TypeVar("Done")

_SECONDS = 0.1
"""Between two looks at what has come."""
_ON_THIS_MACHINE = {"direct_running_mode": "multi_processing", "direct_num_workers": cpus()}
"""What the DirectRunner is told if nothing else is: to run side by side, in processes of its own."""
_WORK = "work-00000.data"
"""The file of what tasks need. Once it is gone, what has not begun does nothing."""
_RESULT = re.compile(r"(done|failed)-(\d+)\.data")
_DRIVEN = set[str]()
"""Keys of the work whose pipeline this process runs: tasks belong into others."""


@dataclasses.dataclass(frozen=True)
class Beam:
    """`engine="beam"`; its options are those of Beam's own pipelines: `{"runner": "FlinkRunner", "flink_master": "host:8081"}`.

    Attributes:
      options: of the pipeline. Without a runner it runs in processes of this machine.
    """

    options: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_any(cls, options: Mapping[str, object]) -> Beam:
        """With any options: Beam knows which there are."""
        return cls(options)

    @property
    def place(self) -> Place:
        return Place.SENT

    def close(self) -> None:
        """Nothing is kept."""

    def run(self, work: Work[Task, Done], tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """As `engines.base.Engine.run`.

        Raises:
          EngineError: the pipeline has failed, and no task has said why.
        """
        key, found, errors = uuid.uuid4().hex, list(tasks), list[BaseException]()
        with work.meeting() as directory:
            (directory / _WORK).write_bytes(pickling.dumps(work))
            place, count = os.fspath(directory), len(found)
            elements = [(place, key, number, count, pickling.dumps(task)) for number, task in enumerate(found)]
            pipeline = self._pipeline(elements)
            thread = threading.Thread(target=_run, args=(pipeline, errors), name="pipeline", daemon=True)
            _DRIVEN.add(key)
            with _noticing_what_dies() if self._is_here else contextlib.nullcontext():
                thread.start()
                try:
                    yield from _results(directory, thread, errors, count)
                finally:
                    (directory / _WORK).unlink()
                    thread.join()
                    _DRIVEN.discard(key)

    @property
    def _is_here(self) -> bool:
        """Whether Beam's own runner does it, on this machine."""
        return self.options.get("runner", "DirectRunner") == "DirectRunner"

    def _pipeline(self, elements: list[Any]) -> Any:
        """The pipeline that does the tasks."""
        beam = _beam()
        options = {"pickle_library": "cloudpickle", "save_main_session": False, "runner": "DirectRunner"}
        options |= {**(_ON_THIS_MACHINE if self._is_here else {}), **self.options}
        known = beam.options.pipeline_options.PipelineOptions(flags=[], **options)
        pipeline = beam.Pipeline(options=known)
        pipeline | beam.Create(elements) | beam.Reshuffle() | beam.Map(_do)
        return pipeline


def _run(pipeline: Any, errors: list[BaseException]) -> None:
    """Runs a pipeline to its end, in a thread of its own: some runners return before, others only then."""
    try:
        pipeline.run().wait_until_finish()
    except BaseException as error:  # told in the thread of `export`
        errors.append(error)


@contextlib.contextmanager
def _noticing_what_dies() -> Iterator[None]:
    """Meanwhile, Beam's own runner notices that a process it has begun has died: what it had asked of it is answered by an error.
    By itself (2.77) it waits for that answer for ever. Of a release whose runner is made otherwise, nothing is changed."""
    from apache_beam.portability import python_urns
    from apache_beam.portability.api import beam_fn_api_pb2 as messages
    from apache_beam.runners.portability.fn_api_runner import worker_handlers as handlers

    known = getattr(handlers.WorkerHandler, "_registered_environments", {})
    if python_urns.SUBPROCESS_SDK not in known:
        yield
        return
    fewer = wording.argument("engine_options", {"direct_num_workers": 1})
    why = f"(by the kernel, if memory ran out: then run fewer of them, {fewer})"
    died = f"a process of the pipeline was killed {why} or ended itself"
    is_over = threading.Event()

    class Noticing(handlers.SubprocessSdkWorkerHandler):
        def start_worker(self) -> None:
            super().start_worker()
            threading.Thread(target=self._answer, name="answer for the dead", daemon=True).start()

        def _answer(self) -> None:
            self.worker_thread.join()
            while not is_over.wait(_SECONDS):  # of one that was let go, nothing is asked
                for name, future in list(self.control_conn._futures_by_id.items()):
                    future.set(messages.InstructionResponse(instruction_id=name, error=died))

    before = known[python_urns.SUBPROCESS_SDK]
    known[python_urns.SUBPROCESS_SDK] = Noticing, before[1]
    try:
        yield
    finally:
        is_over.set()
        known[python_urns.SUBPROCESS_SDK] = before


def _results(directory: pathlib.Path, thread: threading.Thread, errors: list[BaseException], count: int) -> Iterator[Any]:
    """What was done, as its files come; what went wrong, once the pipeline has ended: until then the runner may try again."""
    done, failures = set[int](), dict[int, Failure]()
    while True:
        is_running = thread.is_alive()
        for path in sorted(directory.iterdir()):
            if (match := _RESULT.fullmatch(path.name)) is None:
                continue
            number, result = int(match[2]), pickling.loads(path.read_bytes())
            path.unlink()
            if match[1] == "failed":
                failures[number] = result
            elif number not in done:
                done.add(number)
                yield result
        if not is_running:
            break
        time.sleep(_SECONDS)
    for number, failure in failures.items():
        if number not in done:
            failure.reraise()
    if len(done) < count:
        words = " ".join(str(errors[0]).split())[:500] if errors else "the pipeline ended before all was done"
        raise EngineError(f"Beam: {words}; {wording.again()} to go on after what is finished") from next(iter(errors), None)


def _do(element: tuple[str, str, int, int, bytes]) -> None:
    """Does a task in a worker of Beam's. To the dataset it is the worker whose number is that of the first task it does."""
    path, key, number, count, task = element
    directory = pathlib.Path(path)
    if not (directory / _WORK).exists():
        return
    if key in _DRIVEN:
        mode = wording.argument("engine_options", {"direct_running_mode": "multi_processing"})
        words = f"Beam does tasks in the process of export, whose generators and threads they would change; {mode}"
        result: Any = failure_of(EngineError(words))
    else:
        result = do_there(key, (directory / _WORK).read_bytes, number, count, pickling.loads(task))
    name = f"{'failed' if isinstance(result, Failure) else 'done'}-{number:05d}"
    draft = directory / f"{name}.{secrets.token_hex(4)}.data"
    draft.write_bytes(pickling.dumps(result))
    os.replace(draft, directory / f"{name}.data")
    if isinstance(result, Failure):
        raise RuntimeError(result.text)  # for the runner, which may do it again


def _beam() -> Package:
    try:
        import apache_beam
        import apache_beam.options.pipeline_options
    except ImportError as error:
        raise MissingDependencyError(
            f"{wording.argument('engine', 'beam')} needs Apache Beam: {how_to_install('beam')}"
        ) from error
    return apache_beam
