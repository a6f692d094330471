"""A manifest that contradicts itself is refused, and says in what."""

import copy

import consumer_kit as kit
import pytest

from tfds_builder.errors import ManifestError


def first_shard(content):
    return content["splits"][0]["shards"][0]


BAD = {
    "rows past the end": (lambda c: first_shard(c).update(rows=first_shard(c)["rows"] + 1), "ends at byte"),
    "huge rows": (lambda c: first_shard(c).update(rows=2**62), "ends at byte"),
    "more than 64 bits": (lambda c: first_shard(c).update(rows=2**63), "between 0 and"),
    "negative rows": (lambda c: first_shard(c).update(rows=-1), "between 0 and"),
    "rows true": (lambda c: first_shard(c).update(rows=True), "must be int"),
    "rows float": (lambda c: first_shard(c).update(rows=1.0), "must be int"),
    "offset past the end": (
        lambda c: c["geometries"][0]["offsets"].__setitem__(0, 10**6),
        "cannot hold columns up to byte 1000060",
    ),
    "negative offset": (lambda c: c["geometries"][0]["offsets"].__setitem__(0, -1), "between 0 and"),
    "overlapping rows": (lambda c: c["geometries"][0]["strides"].__setitem__(0, 1), "overlap"),
    "stride 0": (lambda c: c["geometries"][0]["strides"].__setitem__(0, 0), "overlap"),
    "geometry short": (lambda c: c["geometries"][0]["strides"].pop(), "one entry for each"),
    "no such geometry": (lambda c: first_shard(c).update(geometry=99), "no geometry 99"),
    "column twice": (lambda c: c["columns"][1].update(name="image"), "unique"),
    "column name empty": (lambda c: c["columns"][1].update(name="a//b"), "empty parts"),
    "unknown dtype": (lambda c: c["columns"][0].update(dtype="float8"), "float8"),
    "unknown encoding": (lambda c: c["columns"][0].update(encoding="zip"), "zip"),
    "width of another shape": (lambda c: c["columns"][0].update(width=59), "59 bytes wide"),
    "varint of 11 bytes": (lambda c: c["columns"][1].update(width=11), "11 bytes wide"),
    "split twice": (lambda c: c["splits"].append(copy.deepcopy(c["splits"][0])), "listed twice"),
    "file twice": (lambda c: c["splits"][0]["shards"].append(copy.deepcopy(first_shard(c))), "listed twice"),
    "unknown format": (lambda c: c.update(format="pickle"), "tfrecord, hdf5"),
    "sha256 short": (lambda c: first_shard(c).update(sha256="ab"), "64 lowercase"),
    "sha256 not hexadecimal": (lambda c: first_shard(c).update(sha256="g" * 64), "64 lowercase"),
    "index nobody needs": (
        lambda c: first_shard(c).update(index={**c["metadata"][0], "file": "other"}),
        "must not have an index",
    ),
    "columns a mapping": (lambda c: c.update(columns={}), "must be list"),
    "card value a number": (lambda c: c["card"].update(license=3), "must be str"),
    "labels text": (lambda c: c["labels"].update(label="abc"), "must be list"),
    "keys text": (lambda c: c.update(supervised_keys="image"), "must be list"),
}


@pytest.mark.parametrize("case", BAD)
def test_contradiction(case):
    """Each way a manifest can contradict itself is a ManifestError that says which."""
    change, message = BAD[case]
    assert message in kit.refusal_of(change)


@pytest.mark.parametrize(("name", "message"), [("pairs_tfrecord", "cannot hold columns"), ("pairs_hdf5", "ends at byte")])
def test_last_byte(name, message):
    """A column may end at the last byte of its file (of its record, before the CRC), and not one byte later."""
    content = kit.golden_json(name)
    number = first_shard(content)["geometry"]
    geometry, column = content["geometries"][number], content["columns"].index(max(content["columns"], key=lambda c: c["width"]))
    shards = [shard for split in content["splits"] for shard in split["shards"] if shard["geometry"] == number]
    stride, width = geometry["strides"][column], content["columns"][column]["width"]
    last = min(shard["bytes"] - (shard["rows"] - 1) * stride - width for shard in shards)
    geometry["offsets"][1 - column] = 0  # out of the way
    if name == "pairs_tfrecord":
        last = stride - 4 - width
        geometry["offsets"][1 - column] = 12
    geometry["offsets"][column] = last
    assert kit.parse(content).geometries[number].offsets[column] == last
    geometry["offsets"][column] = last + 1
    with pytest.raises(ManifestError, match=message):
        kit.parse(content)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("text_tfrecord", lambda c: first_shard(c).pop("index")),
        ("text_tfrecord", lambda c: first_shard(c)["index"].update(bytes=8)),
        ("text_tfrecord", lambda c: first_shard(c).update(rows=first_shard(c)["rows"] + 1)),
        ("text_hdf5", lambda c: c["geometries"][0]["row_splits"].__setitem__(0, 10**6)),
    ],
)
def test_strings_without_their_index(name, change):
    """Strings whose index is missing, of another size or past the end of the file are a ManifestError."""
    kit.refusal_of(change, name)
