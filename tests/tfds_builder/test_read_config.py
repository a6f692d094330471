"""`tfds_builder.ReadConfig`: TFDS's own, with a shuffle row by row."""

import pytest

import tfds_builder


def test_shuffle_unit_is_checked():
    """A `shuffle_unit` that does not exist is a ValueError that shows it."""
    with pytest.raises(ValueError, match="'rows'"):
        tfds_builder.ReadConfig(shuffle_unit="rows")
