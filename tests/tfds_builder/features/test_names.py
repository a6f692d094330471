"""Flat names and nested dicts are two ways to say the same."""

import hypothesis
import hypothesis.strategies as st

from tfds_builder.features.names import flatten_nested, join, nest, presence_name

NESTED = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, min_size=1), max_leaves=8
)


@hypothesis.given(st.dictionaries(st.text("abc", min_size=1, max_size=2), NESTED, min_size=1))
def test_there_and_back(example):
    """What is flattened and nested again is what it was, in its own order."""
    flat = flatten_nested(example)
    assert nest(dict(flat)) == example
    assert flatten_nested(nest(dict(flat))) == flat


def test_names_of_parts():
    """Empty parts are left out; what says whether a value is there lies beside it, and not below it."""
    assert join("", "a", "", "b") == "a/b"
    assert presence_name("a/b").rpartition("/")[0] == "a"
