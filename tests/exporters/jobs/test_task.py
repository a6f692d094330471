"""What was done is noted and merged in the order of the shards, whatever order an engine gives it in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.jobs.task import Done, Drained, Noting, Task, in_order

pytestmark = pytest.mark.once


def done(number):
    return Done(Task("train", number, None), None, None, None)


@given(st.sets(st.integers(0, 12)), st.permutations(range(13)))
def test_any_order(passed_over, numbers):
    """Each comes once, as soon as all before it are there; finished ones are numbers, which nothing waits for."""
    given_so_far, taken = [], []

    def results():
        for number in numbers:
            if number not in passed_over:
                given_so_far.append(number)
                yield done(number)

    for result in in_order(results(), passed_over):
        assert isinstance(result, int) == (len(taken) in passed_over)
        taken.append(result if isinstance(result, int) else result.task.number)
        assert {number for number in range(taken[-1] + 1) if number not in passed_over} <= set(given_so_far)
        assert given_so_far or taken[-1] in passed_over
    assert taken == list(range(13))


def test_a_shard_that_was_not_done():
    """An engine that loses a shard is told, and nothing behind it is merged."""
    taken = in_order(map(done, [0, 2, 3]), ())
    assert next(taken).task.number == 0
    with pytest.raises(RuntimeError, match=r"shard 1 was not done, and shards behind it were: \[2, 3\]"):
        next(taken)


class Shard:
    """A shard on its way to the disk."""

    def __init__(self, number, is_ready=False, error=None):
        self.number, self.is_ready, self.error = number, is_ready, error

    def close(self):
        if self.error is not None:
            raise self.error
        return self.number


def drained(number, **options):
    return Drained(Task("train", number, None), Shard(number, **options), None, None)


def test_shards_are_noted_in_order():
    """One that is drained is noted once it is on disk, at the latest before the next one is taken; one that is on disk already,
    behind those before it; and the last one at the end."""
    noted = []
    with Noting(lambda done: noted.append(done.task.number)) as noting:
        first = drained(0)
        noting.add(first)
        noting.look()
        assert noted == []
        first.shard.is_ready = True
        noting.look()
        noting.look()
        assert noted == [0]
        noting.add(drained(1))
        noting.add(done(2))
        assert noted == [0, 1, 2]
        noting.add(drained(3))
        noting.add(drained(4))
        assert noted == [0, 1, 2, 3]
    assert noted == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_what_was_drained_is_noted_whatever_comes_next(kind):
    """Something goes wrong behind a shard: it is noted all the same, and what went wrong is raised as it is."""
    noted = []

    def work():
        with Noting(noted.append) as noting:
            noting.add(drained(0))
            raise kind

    with pytest.raises(kind):
        work()
    assert [(each.task.number, each.shards) for each in noted] == [(0, (0,))]


@pytest.mark.parametrize("moment", ["look", "add", "end"])
def test_a_shard_that_could_not_be_written(moment):
    """What the disk says is raised as soon as it is known, the shard is not noted, and none behind it."""
    noted, reached = [], []

    def work():
        with Noting(noted.append) as noting:
            noting.add(drained(0, is_ready=True, error=OSError("full")))
            if moment == "look":
                noting.look()
            elif moment == "add":
                noting.add(drained(1))
            reached.append("end")

    with pytest.raises(OSError, match="full"):
        work()
    assert noted == []
    assert reached == (["end"] if moment == "end" else [])


def test_two_errors():
    """A shard that could not be written does not hide what ended the export: it is told besides."""

    def work():
        with Noting(None) as noting:
            noting.add(drained(0, error=OSError("full")))
            raise KeyError("of the loader")

    with pytest.raises(KeyError) as caught:
        work()
    assert caught.value.__notes__ == ["the shard before could not be written: full"]
