"""Features are called as the caller says, or by what they are; input and target are told."""

from __future__ import annotations

import pytest
import torch

from exporters import ArgumentError

X, Y = torch.zeros(4, 5), torch.arange(4)


RENAMED = {
    "sequence of a pair": ((X, Y), ["pixels", "class"], {"pixels", "class"}),
    "mapping of a pair": ((X, Y), {"features": "pixels"}, {"pixels", "label"}),
    "the lone part": (X, ["pixels"], {"pixels"}),
    "of four": ([X, X, X, Y], ("a", "b", "c", "d"), {"a", "b", "c", "d"}),
    "swap": ({"a": X, "b": Y}, {"a": "b", "b": "a"}, {"a", "b"}),
    "a leaf": ({"t": {"a": X, "b": Y}}, {"t/a": "c"}, {"t/c", "t/b"}),
    "a branch": ({"t": {"a": X, "b": Y}}, {"t": "u"}, {"u/a", "u/b"}),
    "a part that is nested": (({"a": X}, Y), ["in", "out"], {"in/a", "out"}),
    "odd but storable": ({"a": X, "b": X, "c": X}, {"a": "é 日本", "b": "A-b.c", "c": "\\x"}, {"é 日本", "A-b.c", "\\x"}),
}


@pytest.mark.parametrize("case", RENAMED)
def test_renaming(case, format, round_trip):
    """`names=` renames parts by position or by name, and nested ones by flat name."""
    batch, names, expected = RENAMED[case]
    assert set(round_trip(batch, format=format, names=names)) == expected


def test_swapped_names_keep_their_values(round_trip, assert_same):
    """A renamed feature keeps its own values."""
    assert_same(round_trip({"a": X, "b": Y}, names={"a": "b", "b": "a"}), {"b": X, "a": Y})


BAD_RENAMES = {
    "too few": ((X, Y), ["a"], "2 parts"),
    "too many": (X, ["a", "b"], "1 parts"),
    "a str": ((X, Y), "ab", "'ab'"),
    "a sequence for a dict": ({"a": X, "b": Y}, ["a", "b"], "mapping"),
    "twice the same": ((X, Y), ["a", "a"], "'a'"),
    "twice the same, by mapping": ({"a": X, "b": Y}, {"a": "b"}, "'b'"),
    "a leaf and a branch": ({"a": X, "t": {"b": Y}}, {"t": "a"}, "'a'"),
    "a leaf and a branch, not next to each other": ({"a": X, "a-b": X, "t": {"b": Y}}, {"t": "a"}, "'a'"),
    "no such feature": ({"a": X}, {"b": "c"}, "'b'"),
    "a slash": ({"a": X}, {"a": "b/c"}, "'b/c'"),
    "a slash, by position": ((X, Y), ["b/c", "d"], "b/c"),
    "empty": ({"a": X}, {"a": ""}, "''"),
    "empty, by position": ([X, Y], ["", "b"], "''"),
    "a dot": ({"a": X}, {"a": "."}, "'.'"),
    "two dots": ({"a": X}, {"a": ".."}, "'..'"),
    "control": ({"a": X}, {"a": "b\n"}, "b\\n"),
    "NUL": ({"a\0": X}, None, "a\\x00"),
    "no str": ({"a": X}, {"a": 3}, "3"),
    "no str, by position": ((X, Y), [3, "b"], "3"),
}


@pytest.mark.parametrize("case", BAD_RENAMES)
def test_bad_renaming(case, loader_of, refuses):
    """A name that does not fit, is taken, or cannot be stored is refused with the name in the message."""
    batch, names, word = BAD_RENAMES[case]
    refuses(loader_of(batch), ArgumentError, word, names=names)


def test_supervised_keys(publish, loader_of, manifest_of):
    """A pair has supervised keys under its names, whatever they are; other batches have those that were given."""
    image = torch.zeros(4, 3, 8, 8)
    assert manifest_of(publish(loader_of((image, Y)))).supervised_keys == ("image", "label")
    assert manifest_of(publish(loader_of((X, Y)), names=["b", "a"])).supervised_keys == ("b", "a")
    assert manifest_of(publish(loader_of((X, {"q": Y})))).supervised_keys == ("features", "label")
    assert manifest_of(publish(loader_of({"a": X, "b": Y}))).supervised_keys is None
    assert manifest_of(publish(loader_of({"a": X, "b": Y}), supervised_keys=["b", "a"])).supervised_keys == ("b", "a")


@pytest.mark.parametrize("keys", [["a"], ["a", "c"], "ab", ["a", "b", "a", "b"], []])
def test_bad_supervised_keys(keys, loader_of, refuses):
    """Supervised keys that are no features, or not two or three, are refused."""
    refuses(loader_of({"a": X, "b": Y}), ArgumentError, "supervised_keys=", repr(keys), supervised_keys=keys)
