"""The table of floats that integers stand for, as a manifest has it and as nobody should trust it."""

import dataclasses
import hashlib
import json

import ml_dtypes  # noqa: F401  # NumPy knows "bfloat16" by name
import numpy as np
import pytest

from tfds_builder import DatasetError, ManifestError
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.integers import FLOATS, Integers
from tfds_builder.contract.shards import File


def table_of(dtype="float32", channels=3, levels=256):
    rows = [(np.arange(levels) / (levels - 1) - mean) / 0.25 for mean in (0.125, 0.25, 0.5)]
    return Integers.of("a/image", "a rule", np.stack(rows[:channels]).astype(np.dtype(dtype)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_there_and_back(dtype):
    """JSON holds every float exactly, of every dtype."""
    table = table_of(dtype)
    content = json.loads(json.dumps(table.to_json()))
    assert Integers.from_json(content, "here") == table
    assert table.floats.dtype == dtype


def test_golden():
    """The bytes of a table in the manifest, which other readers may read too."""
    table = Integers.of("image", "x/255", (np.arange(256, dtype=np.float32) / np.float32(255))[None])
    text = json.dumps(table.to_json(), sort_keys=True)
    assert text.startswith(
        '{"channels": 1, "dtype": "float32", "floats": [[0.0, 0.003921568859368563, 0.007843137718737125, 0.0117647061124444, '
    )
    assert text.endswith('0.9960784316062927, 1.0]], "levels": 256, "name": "image", "rule": "x/255"}')
    assert table.data[:8] == bytes.fromhex("000000008180803b")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [256, 65536])
def test_restore(channels, levels):
    """Each integer gives the float of its channel, along whichever axis the channels lie."""
    table = table_of(channels=channels, levels=levels)
    integers = np.random.default_rng(1).integers(0, levels, (2, 5, 6, 3)).astype(table.stored_dtype)
    expected = np.stack([table.floats[min(channel, channels - 1)][integers[..., channel]] for channel in range(3)], axis=-1)
    assert np.array_equal(table.restore(integers), expected)
    assert np.array_equal(table.restore(integers.transpose(0, 3, 1, 2), -3), expected.transpose(0, 3, 1, 2))
    assert table.restore(integers).flags.c_contiguous
    factor, offset = table.line
    assert np.abs(integers * factor + offset - expected).max() < 1e-5


def test_a_large_table(tmp_path):
    """One of 65,536 floats lies in a file of its own, which must be what the manifest lists."""
    table = table_of(levels=65536)
    content = table.to_json()
    assert content["file"] == "a-image.floats"
    assert "floats" not in content
    empty = Integers.from_json(content, "here")
    assert empty.data == b""
    tmp_path.joinpath("a-image.floats").write_bytes(table.data)
    listed = File(file="a-image.floats", bytes=table.size, sha256=hashlib.sha256(table.data).hexdigest())
    assert empty.loaded(Directory.at(tmp_path), [listed]) == table
    with pytest.raises(ManifestError, match="does not list it"):
        empty.loaded(Directory.at(tmp_path), [])
    tmp_path.joinpath("a-image.floats").write_bytes(table.data[:-4] + b"\0\0\0\0")
    with pytest.raises(ManifestError, match="not what was published"):
        empty.loaded(Directory.at(tmp_path), [listed])
    tmp_path.joinpath("a-image.floats").unlink()
    with pytest.raises(DatasetError):
        empty.loaded(Directory.at(tmp_path), [listed])
    assert Integers.from_json(table.to_json(whole=True), "plan") == table


WRONG = {
    "dtype": "int32", "levels": 100, "channels": 0, "floats": [[0.0] * 256], "name": 3, "rule": None,
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_hostile_tables(key):
    """What makes no table is refused, key by key."""
    content = table_of().to_json()
    with pytest.raises(ManifestError):
        Integers.from_json({**content, key: WRONG[key]}, "here")
    with pytest.raises(ManifestError):
        Integers.from_json({name: value for name, value in content.items() if name != key}, "here")


@pytest.mark.parametrize("value", [1e39, 0.1, True, "0", None, 10**400, float("nan"), float("inf")])
def test_hostile_floats(value):
    """What is no number, or none that the dtype holds, is refused."""
    content = table_of().to_json()
    content["floats"][1][7] = value
    with pytest.raises(ManifestError):
        Integers.from_json(content, "here")


def test_hostile_files():
    """The file of a table has the name it must have, and no other."""
    content = table_of(levels=65536).to_json()
    for name in ("../image.floats", "manifest.json", "", 3):
        with pytest.raises(ManifestError):
            Integers.from_json({**content, "file": name}, "here")
    with pytest.raises(ManifestError):
        Integers.from_json({**content, "channels": 10**9}, "here")
    with pytest.raises(ManifestError, match="are needed"):
        dataclasses.replace(table_of(), data=b"1234")
