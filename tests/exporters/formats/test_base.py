"""What every format promises: columns and strings of nothing keep their rows, strings of any length their places, and no file
tells when it was written."""

from __future__ import annotations

import time

import numpy as np
import torch
from producer_kit import MIXED


def test_nothing_but_empty_columns(format, round_trip, assert_same):
    """A dataset whose features hold no byte keeps its rows."""
    empty = {"x": torch.empty(3, 0), "n": {"y": torch.empty(3, 2, 0, 1, dtype=torch.uint8)}}
    layouts = {"n/y": "NHWC"}
    assert_same(round_trip(empty, format=format, layouts=layouts), {"x": empty["x"], "n/y": empty["n"]["y"]})


def test_nothing_but_empty_strings(format, round_trip, assert_same):
    """Strings that are all empty come back, one a row."""
    assert_same(round_trip({"t": ["", ""]}, {"t": [""]}, format=format), {"t": ["", "", ""]})


def test_a_second_later_the_bytes_are_the_same(format, publish, loader_of, tree):
    """Nothing in a file, an HDF5 object header least of all, tells when it was written."""
    first = publish(loader_of(MIXED), format)
    start = int(time.time())
    while int(time.time()) == start:
        time.sleep(0.05)
    assert tree(publish(loader_of(MIXED), format).path) == tree(first.path)


def test_large_strings(format, round_trip, assert_same):
    """Strings far longer than a block, and far more of them than fit a varint of one byte, keep their places."""
    rows = [bytes([i % 251]) * (i * 977 % 70_001) for i in range(60)]
    assert_same(round_trip({"t": rows, "n": np.arange(60)}, format=format), {"t": rows, "n": np.arange(60)})
