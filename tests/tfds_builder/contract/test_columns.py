"""A column that contradicts itself cannot be made."""

import pytest

from tfds_builder.contract.manifest import STRINGS, Column
from tfds_builder.errors import ManifestError


def test_column_is_checked_when_made():
    """A column that contradicts itself cannot be made in the first place, by the exporter either."""
    with pytest.raises(ManifestError, match="4 bytes wide"):
        Column(name="a", dtype="uint8", shape=(5,), encoding="raw", width=4)
    with pytest.raises(ManifestError):
        Column(name="a", dtype="uint8", shape=(), encoding=STRINGS, width=0)
