"""What was done is noted and merged in the order of the shards, whatever order an engine gives it in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.jobs.task import Done, Task, in_order

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
