"""How far columns reach, and that none lies over another."""

import hypothesis
import hypothesis.strategies as st
import pytest

from tfds_builder.errors import ManifestError
from tfds_builder.formats.extent import Extent, last_end


@hypothesis.given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6)), max_size=5))
def test_overlaps_are_those_of_their_bytes(places):
    """Two columns overlap where they have a byte in common; else the end is that of the last byte."""
    extents = [Extent(start, start + size, f"column {number}") for number, (start, size) in enumerate(places)]
    taken = [byte for start, stop, _ in extents for byte in range(start, stop)]
    if len(set(taken)) != len(taken):
        with pytest.raises(ManifestError, match=r"^here: .* overlap"):
            last_end(extents, "here")
    else:
        end, name = last_end(extents, "here")
        assert end >= max(taken, default=-1) + 1
        assert (name == "nothing") == (not extents)
