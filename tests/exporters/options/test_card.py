"""A card holds only text."""

from __future__ import annotations

import pytest

from exporters import ArgumentError, Card


def test_bad_card():
    """A card holds only text."""
    with pytest.raises(ArgumentError, match="'license' must be str"):
        Card(license=None)
