"""`exporters.formats.hands`: threads that do a few things at a time."""

import threading

import pytest

from exporters.formats.hands import Hands

pytestmark = pytest.mark.once


@pytest.mark.parametrize("count", [1, 2, 4])
def test_as_many_at_a_time(count):
    """So many are at work at the same time, the calling thread among them; of one there is no other thread."""
    meeting, workers = threading.Barrier(count, timeout=20), set()

    def work():
        meeting.wait()
        workers.add(threading.current_thread())

    with Hands(count) as hands:
        for _ in range(3):
            hands.do([work] * count)
    assert threading.main_thread() in workers
    assert len(workers) == count
    assert not any(worker.is_alive() for worker in workers - {threading.main_thread()})


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_of_any_of_them(failing):
    """It is raised, and not before the others have ended: what they use may be changed then."""
    done = []

    def work(number):
        if number == failing:
            raise MemoryError(number)
        threading.Event().wait(0.05)
        done.append(number)

    with Hands(3) as hands:
        with pytest.raises(MemoryError):
            hands.do([lambda number=number: work(number) for number in range(3)])
        assert sorted(done) == [number for number in range(3) if number != failing]
