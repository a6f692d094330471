"""Memory that is lent, given back and used again: aligned, bounded, and never lent twice."""

import gc
import sys
import threading

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.table import memory as buffers_lib
from tfds_builder.table.memory import ALIGNMENT, Buffers

pytestmark = pytest.mark.once


def test_buffers_are_used_again():
    """Memory is used again when the last view of it is gone, and not before."""
    buffers = Buffers()
    first = buffers.empty(1024, 1024)
    address, view = first.ctypes.data, first.view(np.int64)[5:9]
    del first
    second = buffers.empty(1024, 1024)
    assert second.ctypes.data != address
    del view
    gc.collect()
    assert buffers.empty(1000, 1024).ctypes.data == address
    assert buffers.empty(1000, 1024).ctypes.data != second.ctypes.data


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (1000, 1), (300, 1000), (5000, 999)])
def test_buffers_are_aligned(shape):
    """Every array is at an address that TensorFlow takes without a copy, and can be written."""
    array = Buffers().empty(*shape)
    assert array.shape == shape
    assert array.ctypes.data % ALIGNMENT == 0
    array[:] = 1
    assert array.flags.c_contiguous


def test_buffers_that_are_kept_are_bounded(monkeypatch):
    """No more memory is kept for later than the limit."""
    monkeypatch.setattr(buffers_lib, "_REUSED_BYTES", 3 * 1024**2)
    buffers = Buffers()
    arrays = [buffers.empty(1024, 1024) for _ in range(8)]
    del arrays
    gc.collect()
    assert sum(memory.size for memory in buffers._free) <= 3 * 1024**2


def test_buffers_of_no_use_are_let_go(monkeypatch):
    """Where each array is a little larger than the last one, what was kept of those before does not pile up; and memory
    that is not to be used again is not kept."""
    monkeypatch.setattr(buffers_lib, "_IDLE_BYTES", 4 * 1024**2)
    buffers = Buffers()
    for more in range(10):
        array = buffers.empty(1, 1024**2 + more)
        del array
        kept = sum(memory.size for memory in buffers._free)
        assert kept == buffers._bytes <= 4 * 1024**2 + 100
    assert kept > 2 * 1024**2
    array = buffers.empty(1, 64 * 1024**2, again=False)
    assert array.ctypes.data % ALIGNMENT == 0
    del array
    assert not buffers._free  # nothing kept was of use, and with it all would have been too much


def test_what_a_forked_child_writes_stays_there():
    """A forked child that writes into an array it inherited, or into memory to be used again, changes nothing of its parent."""
    buffers = Buffers()
    mine, given_back = buffers.empty(1, 300_000), buffers.empty(1, 400_000)
    mine[:] = 1
    del given_back

    def overwrite():
        other = buffers.empty(1, 400_000)
        other[:], mine[:] = 2, 2
        return len(buffers._free) == 0

    again = buffers._free[0]
    again[:] = 1
    assert kit.in_fork(overwrite)
    assert np.all(mine == 1)
    assert np.all(again == 1)


def test_buffers_in_threads(monkeypatch):
    """Threads that take memory and give it back, garbage collections and readers that close among them: what is counted is what
    is kept, never more than the limit, and no memory is lent twice."""
    monkeypatch.setattr(buffers_lib, "_REUSED_BYTES", 4 * 1024**2)
    buffers, failures = Buffers(), []

    def work(seed):
        random, mine = np.random.default_rng(seed), []
        for turn in range(50):
            array = buffers.empty(int(random.integers(1, 4)), 300_000)
            array[:] = seed
            mine.append(array)
            if any(np.any(kept[:, ::1021] != seed) for kept in mine):  # of every page some
                failures.append(seed)
            del mine[: int(random.integers(0, 3))]
            if turn % 20 == seed:
                buffers.clear()
                buffers.keeps = True
            if turn % 37 == seed:
                loop = [array]
                loop.append(loop)  # found by a collection only
                del loop
                gc.collect()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    gc.collect()
    assert not failures
    assert not buffers._returned
    assert buffers._bytes == sum(memory.size for memory in buffers._free) <= 4 * 1024**2


def test_memory_that_comes_back_while_the_lock_is_held():
    """Memory that is dropped while the lock is held, by a garbage collection in the same thread say, does not wait for it, and is
    used again afterwards; and a reader that closes then does not wait either."""
    buffers = Buffers()
    array = buffers.empty(1, 400_000)
    address = array.ctypes.data
    with buffers._lock:
        del array
        assert not buffers._free
    again = buffers.empty(1, 400_000)
    assert again.ctypes.data == address
    del again
    with buffers._lock:
        buffers.clear()
    buffers.empty(1, 400_000)
    assert not buffers._free
