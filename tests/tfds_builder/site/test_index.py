"""`tfds_builder.site.index`: a page below its limit, however many datasets there are and whatever they say of themselves."""

import copy

import pytest

from tfds_builder.catalog.read import read_manifest
from tfds_builder.site.index import index_of, index_page
from tfds_builder.site.page import search_text, summary_of


@pytest.fixture(scope="module")
def page(golden):
    """What the index needs of one version."""
    manifest = read_manifest(golden / "pairs_hdf5" / "1.0.0")
    summary = summary_of(manifest, "2026-01-01T00:00:00+00:00") | {"page": "pairs_hdf5/1.0.0.html", "verified": None}
    cover = "data:image/webp;base64," + "A" * 2500
    return {"summary": summary, "search": search_text(manifest), "cover": cover, "balance": [1, 2], "unread": ""}


@pytest.mark.parametrize(("count", "hostile"), [(3, False), (400, False), (200, True), (2500, True)])
def test_limit(page, count, hostile):
    """Pictures and texts are there while they fit; datasets that are left out are counted."""
    pages = []
    for number in range(count):
        one = copy.deepcopy(page)
        one["summary"]["name"] = f"set_{number:05d}"
        if hostile:
            one["search"] = '"' * 900
            one["summary"]["description"] = '"' * 300
        pages.append(one)
    index, _ = index_of(pages, {}, [], "/data")
    text = index_page(index, 1_000_000).decode()
    assert len(text.encode()) <= 1_000_000
    shown = text.count('<li class="set"')
    assert f"{count:,} datasets" in text
    assert (shown == count) == (f"{count - shown:,} more datasets" not in text)
    assert shown == count or count > 1000
    assert 0 < text.count("data:image/webp") <= shown
    assert (text.count("data:image/webp") == count) == (count == 3)
