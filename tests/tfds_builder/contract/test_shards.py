"""Files and shards as a manifest lists them: read from JSON nobody vouches for, and written as they were read."""

import pytest

from tfds_builder.contract.shards import File, Shard, Split
from tfds_builder.errors import ManifestError

FILE = {"file": "a.h5", "bytes": 3, "sha256": "0" * 64}
INDEX = {"file": "a.index", "bytes": 8, "sha256": "1" * 64}


@pytest.mark.parametrize("content", [{**FILE, "rows": 2, "geometry": 0}, {**FILE, "rows": 2, "geometry": 1, "index": INDEX}])
def test_there_and_back(content):
    """A shard read and written is the same JSON; its files are the data and, where there is one, the index."""
    shard = Shard.from_json(content, "here")
    assert shard.to_json() == content
    assert [file.file for file in shard.files] == ["a.h5"] + ["a.index"] * ("index" in content)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../a"}, {"file": ""}, {"file": 3}, {"bytes": -1}, {"bytes": True}, {"bytes": 2**63}, {"sha256": "0" * 63},
        {"sha256": "G" * 64}, {"rows": -1}, {"rows": 1.5}, {"geometry": None}, {"index": 3}, {"index": {"file": "x"}},
    ],
)  # fmt: skip
def test_what_is_no_shard(change):
    """A value that is none of its kind is a ManifestError that begins with the place."""
    with pytest.raises(ManifestError, match=r"^here"):
        Shard.from_json({**FILE, "rows": 2, "geometry": 0, **change}, "here")


def test_sums_of_a_split():
    """A split has the rows and the bytes of its shards, indexes included."""
    shards = [Shard(data=File(**FILE), rows=n, geometry=0, index=File(**INDEX) if n else None) for n in (0, 5)]
    split = Split(shards=tuple(shards))
    assert (split.examples, split.bytes) == (5, 3 + 3 + 8)
