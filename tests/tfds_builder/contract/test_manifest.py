"""`tfds_builder.contract.manifest`: the contract, and everything that can be wrong with it."""

import copy
import json
import os

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.manifest import STRINGS
from tfds_builder.errors import DatasetError, ManifestError, UnsupportedVersionError


@kit.every_golden
def test_round_trip(name):
    """A manifest read and written again has the same bytes, and read again is equal."""
    text = (kit.GOLDEN / name / "1.0.0" / "manifest.json").read_bytes()
    manifest = read_lib.parse_manifest(text)
    assert manifest.to_json() == text
    assert read_lib.parse_manifest(manifest.to_json()) == manifest


def test_canonical_json():
    """The bytes of a manifest do not depend on the order or the spacing in which its JSON was found."""
    text = (kit.GOLDEN / "text_hdf5" / "1.0.0" / "manifest.json").read_bytes()
    content = json.loads(text)
    shuffled = {key: content[key] for key in sorted(content, reverse=True)}
    assert kit.parse(shuffled).to_json() == text
    assert text.endswith(b"}\n")


@pytest.mark.parametrize("text", [
    b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe{}", b"{" * 200_000, b"[" * 200_000, b'{"a":' * 100_000, b"9" * 10_000,
    b"NaN", b'{"format_version": 1}', b"\x00" * 100,
], ids=lambda text: repr(text[:10]))  # fmt: skip
def test_not_a_manifest(text, tmp_path):
    """Bytes that are no manifest, however deep, long or mis-encoded, are a ManifestError that names the file."""
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        read_lib.read_manifest(tmp_path)


def test_truncated_anywhere():
    """A manifest cut off at any byte before its last brace is a ManifestError."""
    text = (kit.GOLDEN / "coded_tfrecord" / "1.0.0" / "manifest.json").read_bytes()
    for stop in range(0, len(text) - 2, 7):
        with pytest.raises(ManifestError):
            read_lib.parse_manifest(text[:stop])


def test_newer_format_version():
    """A newer format version is not supported, which is no damage: both versions and what to do, whatever else it holds."""
    newer = manifest_lib.FORMAT_VERSION + 1
    with pytest.raises(
        UnsupportedVersionError, match=rf"not supported: .*format_version {newer}.*reads up to {newer - 1}.*upgrade"
    ):
        kit.parse({"format_version": newer, "surprise": []})


def test_damaged_format_version():
    """A format version that was not written, so that the digest differs, is damage and no reason to upgrade."""
    text = (kit.GOLDEN / "pairs_tfrecord" / "1.0.0" / "manifest.json").read_bytes()
    for version in (b"0", b"9"):
        with pytest.raises(ManifestError, match=r"damaged|first is 1") as raised:
            read_lib.parse_manifest(text.replace(b'"format_version": 2', b'"format_version": ' + version))
        assert not isinstance(raised.value, UnsupportedVersionError)


@pytest.mark.parametrize("key", sorted(set(kit.golden_json("pairs_tfrecord")) - {"producer"}))
def test_missing_field(key):
    """A manifest without one of its fields is a ManifestError that names the field."""
    assert repr(key) in kit.refusal_of(lambda content: content.pop(key))


def first_shard(content):
    return content["splits"][0]["shards"][0]


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0b", "\ud800", "x" * 300])
@pytest.mark.parametrize("place", ["shard", "index", "metadata"])
def test_file_name_leads_nowhere(file, place):
    """A file name that leads out of the directory, or that no file system can hold, is a ManifestError."""

    def change(content):
        shard = first_shard(content)
        {"shard": shard, "index": shard["index"], "metadata": content["metadata"][0]}[place]["file"] = file

    kit.refusal_of(change, "text_tfrecord")


# --- everything else that can be wrong -------------------------------------------------------------

ODD = st.one_of(
    st.none(), st.booleans(), st.floats(), st.text(max_size=5),
    st.sampled_from([-1, 0, 1, 2**31, 2**63 - 1, 2**63, 10**400, -(2**70), [], {}, "", "..", "../../x", "/", "\ud800", "\0", [[]],
                     {"": {}}, "tfrecord", "hdf5", "raw", "varint", "strings", "string", "bool", "complex128", "a/b"]),
    st.integers(-3, 300), st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip


def places(content, path=()):
    """Every (container, key) of a JSON document."""
    for key, value in list(content.items() if isinstance(content, dict) else enumerate(content)):
        yield content, key
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def still_safe(manifest):
    """Whether what an accepted manifest promises lies inside its files; reads of it can then not leave them."""
    for split in manifest.splits.values():
        for shard in split.shards:
            geometry = manifest.geometries[shard.geometry]
            for i, column in enumerate(manifest.columns):
                last = geometry.offsets[i] + max(0, shard.rows - 1) * geometry.strides[i] + column.width
                if column.encoding != STRINGS and shard.index is None and shard.rows and last > shard.data.bytes:
                    return False
    return all(os.path.basename(file.file) == file.file != "" for file in manifest.files)


@hypothesis.settings(max_examples=400)
@hypothesis.given(st.data(), st.sampled_from(["pairs_tfrecord", "text_tfrecord", "text_hdf5"]))
def test_mutated_json(data, name):
    """A manifest with any of its values replaced, doubled or dropped is read as a safe one or is a ManifestError."""
    from tfds_builder.features.feature_json import features_of

    content = kit.golden_json(name)
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(content))
        if not found:
            break
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        action = data.draw(st.sampled_from(["replace", "replace", "replace", "drop", "double"]))
        if action == "replace":
            container[key] = data.draw(ODD)
        elif action == "drop":
            container.pop(key)
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
    try:
        manifest = kit.parse(content)
        features_of(manifest)
    except ManifestError:
        return
    assert still_safe(manifest)
    assert read_lib.parse_manifest(manifest.to_json()) == manifest


@hypothesis.given(st.data())
def test_mutated_bytes(data):
    """A manifest with any of its bytes changed is a ManifestError, whether it still is UTF-8 and JSON or not."""
    whole = (kit.GOLDEN / "text_tfrecord" / "1.0.0" / "manifest.json").read_bytes()
    text = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    hypothesis.assume(text != whole)
    with pytest.raises(ManifestError):
        read_lib.parse_manifest(bytes(text))


@pytest.mark.parametrize("change", [
    lambda t: t + b" ", lambda t: b" " + t, lambda t: t[:-1], lambda t: t.replace(b"\n", b"\r\n"), lambda t: b"\xef\xbb\xbf" + t,
    lambda t: b"{" + t.partition(b",")[2], lambda t: t.replace(b'"rows": 21', b'"rows": 20'),
    lambda t: t[:30] + t[30:60].upper() + t[60:],
])  # fmt: skip
def test_altered(change):
    """A manifest that differs in a space, in its line ends or in one number from what was written is a ManifestError."""
    text = (kit.GOLDEN / "pairs_tfrecord" / "1.0.0" / "manifest.json").read_bytes()
    assert change(text) != text
    with pytest.raises(ManifestError):
        read_lib.parse_manifest(change(text))


def test_every_error_is_ours():
    """A ManifestError can be caught as a DatasetError and as a ValueError."""
    assert issubclass(ManifestError, DatasetError)
    assert issubclass(ManifestError, ValueError)
