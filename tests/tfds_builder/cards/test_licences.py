"""`tfds_builder.cards.licences`: a licence is known by its identifier, its usual names and its address, and by nothing less."""

import pytest

from tfds_builder.cards.licences import licence_of

pytestmark = pytest.mark.once

KNOWN = (
    ("CC0", "CC0-1.0", "cc0-1.0"), ("cc-by-4.0", "CC-BY-4.0", "cc-by-4.0"), ("CC BY-SA 4.0", "CC-BY-SA-4.0", "cc-by-sa-4.0"),
    ("The MIT License", "MIT", "mit"), (" Apache License, Version 2.0 ", "Apache-2.0", "apache-2.0"),
    ("BSD 3-Clause License", "BSD-3-Clause", "bsd-3-clause"), ("GPL v3", "GPL-3.0", "gpl-3.0"), ("ODbL", "ODbL-1.0", "odbl"),
    ("https://creativecommons.org/licenses/by-nc-sa/4.0/", "CC-BY-NC-SA-4.0", "cc-by-nc-sa-4.0"),
    ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "cc0-1.0"),
    ("https://opensource.org/licenses/MIT", "MIT", "mit"), ("https://spdx.org/licenses/MPL-2.0.html", "MPL-2.0", "mpl-2.0"),
    ("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0", "apache-2.0"), ("CC-BY-SA-2.0", "CC-BY-SA-2.0", "other"),
)  # fmt: skip
OTHER = (
    "private, ask the data team", "MIT, but for research only", "CC BY", "not MIT", "https://creativecommons.org/licenses/by/9.9/",
    "https://example.org/terms", "javascript:alert(1)", "MIT\nand more", "社内のみ", "!", "x" * 1_000_000, "CC0 " + "\u202e" * 50,
)  # fmt: skip


@pytest.mark.parametrize(("text", "spdx", "hub"), KNOWN)
def test_known(text, spdx, hub):
    """By whatever usual spelling."""
    found = licence_of(text)
    assert (found.spdx, found.hub, found.url) == (spdx, hub, f"https://spdx.org/licenses/{spdx}.html")


@pytest.mark.parametrize("text", OTHER)
def test_other(text):
    """What is not known for certain is its own text, and leads only where it is an address itself."""
    found = licence_of(text)
    assert (found.spdx, found.hub) == ("", "other")
    assert found.url in ("", text)
    assert bool(found.url) == text.startswith("https:")
    assert len(found.text) <= 5001


@pytest.mark.parametrize("text", ["", "  \n", "unknown", "N/A", "Not specified"])
def test_not_stated(text):
    """Nobody has said anything, and nothing is said."""
    assert (licence_of(text).spdx, licence_of(text).hub, licence_of(text).url) == ("", "unknown", "")
