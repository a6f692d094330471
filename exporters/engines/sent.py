"""A task in a process of an engine, to which the work was sent, or which has inherited it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exporters.draws import pickling
from exporters.engines.base import do
from exporters.engines.failures import failure_of

_READY: dict[str, Any] = {}
"""In such a process, the work it does, by its key."""


def do_there(key: str, load: Callable[[], Any], worker: int, workers: int, task: Any) -> Any:
    """Does a task; what goes wrong is given back as a `Failure`.

    Args:
      key: of the work. A process loads it and prepares for it once, and keeps none but the last.
      load: gives the work, perhaps pickled.
      worker, workers: which process this is of how many, to the dataset.
      task: what to do.
    """
    try:
        if key not in _READY:
            _READY.clear()
            given = load()
            work = pickling.loads(given) if isinstance(given, bytes) else given
            work.prepare(worker, workers)
            _READY[key] = work
        return do(_READY[key], task)
    except BaseException as error:  # whatever it is, it is raised again in the process of `export`
        return failure_of(error)
