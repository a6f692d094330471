"""What goes to other processes is pickled whole, or the part is named that cannot be."""

from __future__ import annotations

import importlib.util
import threading

import pytest

from exporters import LoaderError
from exporters.draws import pickling


class Holder:
    """Holds something."""

    def __init__(self, held):
        self.held = held


def closing_over(value):
    return lambda: value


@pytest.mark.parametrize(("value", "words"), [
    (threading.Lock(), r"dataset \(of type lock\)"),
    (Holder(threading.Lock()), r"dataset\.held \(of type lock\)"),
    (Holder({"a": [0, Holder(open)], "b": (1, threading.Lock())}), r"dataset\.held\['b'\]\[1\] \(of type lock\)"),
    (Holder(closing_over(threading.Lock())), r"dataset\.held closes over value \(of type lock\)"),
    (Holder(iter([1]).__class__ and (row for row in [1])), r"dataset\.held \(of type generator\)"),
])  # fmt: skip
def test_the_part_is_named(value, words):
    """The error has the way to the innermost part that cannot be pickled, its type, and what mends it."""
    with pytest.raises(LoaderError, match=rf"split 'train': {words} cannot be pickled.*__getstate__"):
        pickling.dump_parts({"collate_fn": len, "dataset": value}, "split 'train'")


@pytest.mark.parametrize("has_cloudpickle", [True, False])
def test_there_and_back(has_cloudpickle, monkeypatch):
    """Values come back; functions that a script defines do where cloudpickle is installed, and elsewhere they are refused."""
    if not has_cloudpickle:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    elif importlib.util.find_spec("cloudpickle") is None:
        pytest.skip("cloudpickle is not installed")
    assert pickling.loads(pickling.dumps({"a": [1, "é"]})) == {"a": [1, "é"]}
    if has_cloudpickle:
        assert pickling.loads(pickling.dump_parts({"dataset": closing_over(7)}, "there"))["dataset"]() == 7
    else:
        with pytest.raises(LoaderError, match="dataset"):
            pickling.dump_parts({"dataset": closing_over(7)}, "there")
