"""What an export tells when it is done."""

import pytest

from exporters.outcome import Counts


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (Counts(1, 1, 1), "1 example expected, 1 read, 1 written"),
        (Counts(12_000, 11_999, 11_999), "12,000 examples expected, 11,999 read, 11,999 written"),
        (Counts(None, 3, 3), "an unknown number of examples expected, 3 read, 3 written"),
    ],
)
def test_counts_in_words(counts, told):
    """Counts are said in words; what a loader cannot tell is said to be unknown."""
    assert str(counts) == told
