"""`exporters.formats.blocks`: rows on their way to a file."""

import threading

import numpy as np
import pytest

from exporters.formats.blocks import BLOCK_BYTES, Blocks
from exporters.formats.hands import Hands


class SlowSink:
    """Keeps what it is given without copying it, and lets go of the oldest when it holds more than `most`."""

    def __init__(self, most):
        self.most, self.waiting, self.written = most, [], []

    def write(self, buffer, release=None):
        self.waiting.append((buffer, release))
        while len(self.waiting) > self.most:
            self.let_go()

    def let_go(self):
        buffer, release = self.waiting.pop(0)
        self.written.append(bytes(buffer))
        if release is not None:
            release()

    def end(self):
        """All that was written."""
        while self.waiting:
            self.let_go()
        return b"".join(self.written)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("most", [0, 1, 3, 1000])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_block_is_not_filled_again_before_it_is_written(dtype, most, threads):
    """However late the sink writes, it finds the rows it was given; once written, a block is used again; and what rows were
    made of may be changed as soon as they are added."""
    made, sink, values = [], SlowSink(most), np.arange(500).astype(dtype)

    def make(rows):
        assert rows == 8
        made.append(np.empty(rows, dtype))
        return made[-1]

    with Hands(threads) as hands:
        blocks, batch = Blocks(sink, make, BLOCK_BYTES // 8, hands), np.empty(37, dtype)
        for start in range(0, 500, 37):
            given = values[start : start + 37]
            batch[: len(given)] = given
            blocks.append(len(given), lambda rows, part: np.copyto(rows, batch[part]))
            batch[:] = 0
        blocks.flush()
    assert sink.end() == values.tobytes()
    assert len(made) <= most + 1 + threads


def test_threads_fill_blocks_at_a_time():
    """Rows of a batch are put into blocks by several threads at the same time, whose parts do not overlap."""
    sink, meeting, filled = SlowSink(0), threading.Barrier(4, timeout=20), []

    def fill(rows, part):
        meeting.wait()
        filled.append((threading.current_thread(), part))
        rows[:] = np.arange(100)[part]

    with Hands(4) as hands:
        blocks = Blocks(sink, lambda rows: np.empty(rows, np.int64), BLOCK_BYTES // 25, hands)
        blocks.append(100, fill)
        blocks.flush()
    assert sink.end() == np.arange(100).tobytes()
    assert len({thread for thread, _ in filled}) == 4
    assert sorted(row for _, part in filled for row in range(100)[part]) == list(range(100))


def test_small_batches_are_not_shared():
    """Where a batch is small, a thread would cost more than it saves: the one that adds it fills its block."""
    with Hands(4) as hands:
        blocks = Blocks(SlowSink(0), lambda rows: np.empty(rows), 8, hands)
        threads = set()
        blocks.append(1000, lambda rows, part: threads.add(threading.current_thread()))
    assert threads == {threading.current_thread()}


def test_large_rows_are_made_one_at_a_time():
    """Of rows that fill several megabytes there is one in memory besides what the sink holds, whatever threads there are."""
    made, sink = [], SlowSink(0)
    with Hands(4) as hands:
        blocks = Blocks(sink, lambda rows: np.empty(rows), 3 * BLOCK_BYTES, hands)

        def fill(rows, part):
            made.append(len(sink.written))
            rows[:] = part.start

        blocks.append(5, fill)
    assert made == [0, 1, 2, 3, 4]
    assert sink.end() == np.arange(5.0).tobytes()
