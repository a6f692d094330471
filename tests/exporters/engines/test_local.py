"""The local engine: tasks in their order, those that follow each other in one session, none after the data has ended."""

import contextlib

import pytest

from exporters.engines.local import Local


class Numbers:
    """Tasks are numbers; there are some, and a session goes on with the number behind the one before. Says what happened."""

    def __init__(self, count):
        self.count, self.log = count, []

    @contextlib.contextmanager
    def open(self, task):
        self.log.append(f"open {task}")
        try:
            yield Session(self, task)
        finally:
            self.log.append("close")


class Session:
    def __init__(self, work, place):
        self.work, self.place = work, place

    def goes_on_with(self, task):
        return task == self.place

    def write(self, task):
        if task == "broken":
            raise RuntimeError("broken")
        self.place = task + 1
        return f"done {task}" if task < self.work.count else None


def test_tasks_that_follow_each_other_share_a_session():
    """A session is opened where a task does not go on with the one before, and the one before it is closed first."""
    work = Numbers(10)
    assert list(Local().run(work, [0, 1, 4, 5])) == ["done 0", "done 1", "done 4", "done 5"]
    assert work.log == ["open 0", "close", "open 4", "close"]


def test_the_data_ends():
    """Without data left for a task, none behind it is begun, however many there are."""
    work = Numbers(3)
    tasks = iter(range(10))
    assert list(Local().run(work, tasks)) == ["done 0", "done 1", "done 2"]
    assert (next(tasks), work.log) == (4, ["open 0", "close"])


def test_an_error_closes_the_session():
    """What a task raises passes through, and its session is closed."""
    work = Numbers(3)
    with pytest.raises(RuntimeError, match="broken"):
        list(Local().run(work, ["broken"]))
    assert work.log == ["open broken", "close"]
