"""Digests tell rows apart, and equal ones from others, whatever batch, process or memory they are in."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

from exporters.hazards.digests import AxisOrders, Digester, Tally

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8))


def digest(**columns):
    """Digests of the rows of some columns."""
    axes, digester = AxisOrders.of(columns), Digester()
    digester.add({name: axes.contiguous(name, array) for name, array in columns.items()})
    return digester.take()


@pytest.mark.parametrize("size", [1, 3, 8, 100, 1023, 1024, 1027, 3072, 40_000])
def test_every_byte_counts(size):
    """A change of one bit anywhere in a row changes its digest, and so do all pairs of such changes among themselves."""
    places = np.unique(np.linspace(0, 8 * size - 1, 3000).astype(int))
    rows = np.zeros((len(places) + 1, size), np.uint8)
    rows[np.arange(len(places)), places // 8] = 1 << (places % 8).astype(np.uint8)
    for column in (rows, rows + np.uint8(77)):
        assert len(np.unique(digest(x=column))) == len(rows)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1", ml_dtypes.bfloat16])
@pytest.mark.parametrize("size", [16, 1000])
def test_one_hot(dtype, size):
    """One-hot rows of any dtype, whose differences lie in the high bits of a few words only, have digests of their own."""
    assert len(np.unique(digest(x=np.eye(size).astype(dtype)))) == size


def test_digests_do_not_depend_on_batches_or_memory():
    """Equal rows have equal digests, whatever batch they are in and however it lies in memory."""
    images, texts = IMAGES.numpy(), np.array([str(i).encode() for i in range(40)] + [None], object)[:-1]
    digester, axes = Digester(), AxisOrders.of({"i": images.transpose(0, 2, 3, 1), "t": texts})

    def add(image, text):
        digester.add({name: axes.contiguous(name, array) for name, array in (("i", image), ("t", text))})

    add(images.transpose(0, 2, 3, 1), texts)
    whole = digester.take()
    for start in range(0, 40, 7):
        add(np.ascontiguousarray(images[start : start + 7].transpose(0, 2, 3, 1)), texts[start : start + 7])
        if start == 14:
            first = digester.take()
    assert np.array_equal(whole, np.concatenate([first, digester.take()]))
    assert len(np.unique(whole)) == 40


def test_digests_are_those_of_every_process():
    """The digest of an example is a fixed number, strings included: an export that goes on compares it with those noted."""
    text = np.empty((2, 1), object)
    text[:, 0] = [b"abc", b"abd"]
    digester = Digester()
    digester.add({"text": text, "x": np.arange(2, dtype="<i8")[:, None]})
    assert digester.take().tolist() == [0xD2BCC24B440DE343, 0xE145DB4A802D19B8]


def test_tally():
    """Repeated and shared digests are counted exactly while all are kept."""
    tally = Tally()
    tally.add("a", np.array([5, 1, 5], np.uint64))
    tally.add("a", np.array([5, 2], np.uint64))
    tally.add("b", np.array([1, 1, 9], np.uint64))
    tally.add("c", np.array([9], np.uint64))
    assert tally.exact
    assert [tally.repeated(split) for split in "abc"] == [2, 1, 0]
    assert [tally.shared(split) for split in "abc"] == [{}, {"a": 2}, {"b": 1}]


def test_tally_is_bounded():
    """Beyond its bound the tally keeps a sample, says so, and its estimates are within a tenth."""
    digests = np.random.default_rng(0).integers(0, 1 << 64, 100_000, np.uint64, endpoint=False)
    tally = Tally(kept=20_000)
    for start in range(0, 100_000, 1000):
        tally.add("a", np.repeat(digests[start : start + 1000], 2))
    tally.add("b", digests[:50_000])
    assert not tally.exact
    assert sum(len(part) for parts in tally._splits.values() for part in parts) <= 20_000
    assert abs(tally.repeated("a") - 100_000) < 10_000
    assert abs(tally.shared("b")["a"] - 50_000) < 5_000
