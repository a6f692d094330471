"""`exporters.formats.blocks`: rows on their way to a file."""

import numpy as np
import pytest

from exporters.formats.blocks import BLOCK_BYTES, Blocks


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
        release()


@pytest.mark.parametrize("most", [0, 1, 3, 1000])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_block_is_not_filled_again_before_it_is_written(dtype, most):
    """However late the sink writes, it finds the rows it was given; once written, a block is used again."""
    made, sink, values = [], SlowSink(most), np.arange(500).astype(dtype)

    def make(rows):
        assert rows == 8
        made.append(np.empty(rows, dtype))
        return made[-1]

    blocks = Blocks(sink, make, BLOCK_BYTES // 8)
    for start in range(0, 500, 13):
        batch = values[start : start + 13]
        for rows, part in blocks.room(len(batch)):
            rows[:] = batch[part]
    blocks.flush()
    while sink.waiting:
        sink.let_go()
    assert b"".join(sink.written) == values.tobytes()
    assert len(made) <= most + 2
