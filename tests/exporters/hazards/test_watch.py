"""What is found is told once for each hazard and split, and refused where it is an error."""

import warnings

import pytest

from exporters.errors import HazardError, HazardWarning
from exporters.hazards.base import Finding
from exporters.hazards.watch import Watch
from exporters.outcome import Counts


def test_told_once_for_each_split():
    """The second finding of a hazard in a split says nothing; another split, or another hazard, does."""
    watch = Watch("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for split in ("train", "train", "test"):
            watch.report(split, [Finding("padding", 3, "rows are padded"), Finding("not_finite", 1, "a NaN")])
    assert [(hazard.split, hazard.name) for hazard in watch.found] == [
        ("train", "padding"), ("train", "not_finite"), ("test", "padding"), ("test", "not_finite"),
    ]  # fmt: skip
    assert [str(warning.message) for warning in caught] == [hazard.message for hazard in watch.found]
    assert {warning.category for warning in caught} == {HazardWarning}
    assert watch.finish("train", Counts(2, 2, 2)).endswith("2 written; hazards: padding, not_finite")
    assert watch.finish("other", Counts(2, 2, 2)).endswith("2 written")


def test_an_error_says_how_to_accept_it():
    """As an error it is raised with what mends it and what accepts it, and nothing is warned of."""
    with pytest.raises(HazardError, match=r"rows are padded \(padding\); to mend it: .*on_hazard=.*nothing was published"):
        Watch({"padding": "error"}).report("train", [Finding("padding", 3, "rows are padded")])
