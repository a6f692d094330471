"""What makes an HDF5 shard readable by h5py is found without h5py: where its datasets lie, and that nothing leads out of it."""

import dataclasses

import numpy as np
import pytest

from tfds_builder.contract.manifest import RAW, Column, Geometry
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats import hdf5_structure as hdf5


@pytest.fixture
def shard(tmp_path):
    """`shard(fill)`: an HDF5 1.8 file with one column `a`, int32 of shape (6, 2), after `fill(file)`; checks it, as a manifest
    that describes `a` where it lies."""
    h5py = pytest.importorskip("h5py")
    column = Column(name="a", dtype="int32", shape=(2,), encoding=RAW, width=8)

    def check(fill=lambda file: None, offset=None, **changes):
        with h5py.File(tmp_path / "x.h5", "w", libver=("v108", "v108")) as file:
            fill(file)
            if "a" not in file:
                file.create_dataset("a", data=np.arange(12, dtype="<i4").reshape(6, 2))
            place = file["a"].id.get_offset() if isinstance(file.get("a"), h5py.Dataset) else 0
        geometry = Geometry(offsets=((place or 0) if offset is None else offset,), strides=(8,), row_splits=(0,))
        with open(tmp_path / "x.h5", "rb") as stream:
            hdf5.check_structure(stream, [dataclasses.replace(column, **changes)], geometry, 6)

    return check


GOOD = {
    "plain": lambda file: None,
    "attributes": lambda file: file.attrs.update({f"attribute{i}": "x" * 500 for i in range(40)}),
    "an empty group": lambda file: file.create_group("empty"),
}


BAD = {
    "chunked": (lambda f: f.create_dataset("a", (6, 2), "<i4", chunks=(2, 2)), "not one run"),
    "compressed": (lambda f: f.create_dataset("a", (6, 2), "<i4", compression="gzip"), "filtered"),
    "big-endian": (lambda f: f.create_dataset("a", (6, 2), ">i4"), "not of dtype"),
    "unsigned": (lambda f: f.create_dataset("a", (6, 2), "<u4"), "not of dtype"),
    "float": (lambda f: f.create_dataset("a", (6, 2), "<f4"), "not of dtype"),
    "wider": (lambda f: f.create_dataset("a", (6, 2), "<i8"), "not of dtype"),
    "other rows": (lambda f: f.create_dataset("a", (7, 2), "<i4"), "shape"),
    "scalar": (lambda f: f.create_dataset("a", (), "<i4"), "shape"),
    "external": (lambda f: f.create_dataset("a", (6, 2), "<i4", external=[("/etc/passwd", 0, 48)]), "another file"),
    "soft link": (lambda f: f.__setitem__("b", soft_link("/a")), "not to an object"),
    "external link": (lambda f: f.__setitem__("b", external_link("/etc/passwd", "/")), "not to an object"),
    "another dataset": (lambda f: f.create_dataset("b", (6, 2), "<i4"), "no column"),
    "a circle": (lambda f: f.create_group("g").__setitem__("again", f["/"]), "inside itself"),
    "many": (lambda f: [f.create_dataset(f"b{i}", (1,), "<i4") for i in range(100)], "no column"),
}


def soft_link(path):
    import h5py

    return h5py.SoftLink(path)


def external_link(file, path):
    import h5py

    return h5py.ExternalLink(file, path)


@pytest.mark.parametrize("case", GOOD)
def test_good_hdf5(case, shard):
    """A file with the column where the manifest has it is good, whatever attributes it has."""
    shard(GOOD[case])


@pytest.mark.parametrize("case", BAD)
def test_bad_hdf5(case, shard):
    """A dataset that h5py would read differently, or a way out of the file, is found without h5py."""
    fill, message = BAD[case]
    with pytest.raises(DamagedFileError, match=message):
        shard(fill)


@pytest.mark.parametrize(("changes", "message"), [
    ({"name": "b"}, "no dataset 'b'|that is no column"), ({"dtype": "float32"}, "not of dtype"), ({"offset": 0}, "from 0 on"),
    ({"shape": (1, 2)}, "shape"),
])  # fmt: skip
def test_other_manifest(changes, message, shard):
    """A manifest that says anything else of a good file is found."""
    with pytest.raises(DamagedFileError, match=message):
        shard(**changes)
