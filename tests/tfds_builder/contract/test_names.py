"""Names of datasets, versions and configs: those that TFDS and a directory can have, and no others."""

import pytest

from tfds_builder.contract.names import CONFIG, NAME, VERSION

GOOD = {
    NAME: ["a", "digits", "mnist_2", "a1"],
    VERSION: ["0.0.0", "1.2.3", "10.20.30"],
    CONFIG: ["a", "A", "2012", "en-US", "v1.0", "1.0", "a.b-c_d"],
}
BAD = {
    NAME: ["", "A", "1a", "_a", "a-b", "a/b", "a\n", "ä"],
    VERSION: ["", "1", "1.2", "01.0.0", "1.0.0.0", "1.0.0\n", "v1.0.0", "\uff11.0.0", "-1.0.0"],
    CONFIG: ["", ".", "..", "_a", "-a", "a/b", "a b", "1.0.0", "1.0.0.incomplete", "x.py", "a\n", "ä"],
}
CASES = [(pattern, text, good) for good, by in ((True, GOOD), (False, BAD)) for pattern, texts in by.items() for text in texts]


@pytest.mark.parametrize(("pattern", "text", "good"), CASES)
def test_names(pattern, text, good):
    """A name is taken whole or not at all."""
    assert bool(pattern.fullmatch(text)) == good
