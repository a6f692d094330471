"""`engine="ray"`: shards side by side on a Ray cluster, whose nodes share the data_dir. Ray places the tasks, and repeats those
whose process or node dies.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from exporters import wording
from exporters.draws import pickling
from exporters.engines.base import Place, Work
from exporters.engines.failures import Failure
from exporters.engines.sent import do_there
from exporters.errors import ArgumentError, EngineError, MissingDependencyError
from tfds_builder.aliases import Package
from tfds_builder.install import how_to_install

Task = TypeVar("Task")
Done = TypeVar("Done")

_IN_FLIGHT = 2
"""Tasks that are handed out at a time for each that the cluster can run."""


@dataclasses.dataclass(frozen=True)
class Ray:
    """`engine="ray"`. If the program has not called `ray.init` itself, that is done, and undone at the end.

    Attributes:
      address: of the cluster, as `ray.init` takes it ("auto" is the one this machine is in); None begins one on this machine.
      num_cpus, resources: what a task needs, as `ray.remote` takes it.
      max_retries: how often a task is repeated whose process or node died.
      in_flight: tasks that are handed out at a time; None for twice as many as the cluster can run at once.
      runtime_env: as `ray.init` takes it: `{"env_vars": {...}}`.
    """

    address: str | None = None
    num_cpus: float = 1
    resources: Mapping[str, float] | None = None
    max_retries: int = 2
    in_flight: int | None = None
    runtime_env: Mapping[str, object] | None = None
    _begun: list[bool] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("num_cpus", "in_flight"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                option = wording.argument("engine_options", {name: 2})
                raise ArgumentError(f"{option}: a positive number (got {value!r:.80})")

    @property
    def place(self) -> Place:
        return Place.SENT

    def run(self, work: Work[Task, Done], tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """As `engines.base.Engine.run`.

        Raises:
          EngineError: Ray has given up a task, or cannot be reached.
        """
        ray = _ray()
        try:
            if not ray.is_initialized():
                ray.init(address=self.address, runtime_env=self.runtime_env, logging_level="warning")
                self._begun.append(True)
            yield from self._results(ray, work, list(tasks))
        except (ray.exceptions.RayError, ConnectionError) as error:
            words = " ".join(str(error).split())
            raise EngineError(f"Ray: {words}; {wording.again()} to go on after what is finished") from error

    def close(self) -> None:
        """As `engines.base.Engine.close`."""
        if self._begun:
            self._begun.clear()
            _ray().shutdown()

    def _results(self, ray: Package, work: Any, tasks: list[Any]) -> Iterator[Any]:
        """What was done, as it is, while no more tasks are out than may be."""
        key, content = uuid.uuid4().hex, ray.put(pickling.dumps(work))
        remote = ray.remote(num_cpus=self.num_cpus, resources=self.resources, max_retries=self.max_retries)(_do)
        room = self.in_flight or max(1, int(ray.cluster_resources().get("CPU", 1) / self.num_cpus)) * _IN_FLIGHT
        waiting, pending = enumerate(tasks), list[Any]()
        try:
            while True:
                for number, task in waiting:
                    pending.append(remote.remote(key, [content], number, len(tasks), task))
                    if len(pending) >= room:
                        break
                if not pending:
                    return
                finished, pending = ray.wait(pending, num_returns=1)
                done = ray.get(finished[0])
                if isinstance(done, Failure):
                    yield from (more for more in self._finished(ray, pending) if not isinstance(more, Failure))
                    done.reraise()
                yield done
        finally:
            for task in pending:
                ray.cancel(task, force=True)

    def _finished(self, ray: Package, pending: list[Any]) -> list[Any]:
        """What else is done by now."""
        return ray.get(ray.wait(pending, num_returns=len(pending), timeout=0)[0]) if pending else []


def _do(key: str, content: list[Any], number: int, count: int, task: Any) -> Any:
    """Does a task in a process of Ray's. To the dataset it is the worker whose number is that of the first task it does: no two
    processes do the same."""
    return do_there(key, lambda: _ray().get(content[0]), number, count, task)


def _ray() -> Package:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError(f"{wording.argument('engine', 'ray')} needs Ray: {how_to_install('ray')}") from error
    return ray
