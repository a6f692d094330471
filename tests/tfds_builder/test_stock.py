"""A TFRecord export is an ordinary TFDS dataset; an HDF5 export is none. In processes without our packages."""

import consumer_kit as kit
import pytest

pytestmark = pytest.mark.once

BLOCKED = """
import sys
for package in ("tfds_builder", "exporters", "torch", "h5py"):
    sys.modules[package] = None  # importing it raises ImportError
import tensorflow_datasets as tfds
"""
TFRECORDS = [f"{kind}_tfrecord" for kind in kit.make.DATASETS]


@pytest.fixture
def catalog(tmp_path):
    data_dir = tmp_path / "catalog"
    for name in kit.make.names():
        kit.copy_golden(name, data_dir)
    return data_dir


def test_stock_reads_every_value(catalog, run_python, tmp_path):
    """Stock `tfds.load`, with none of our code, reads every value of every TFRecord dataset bit for bit, with its names; files of
    others in the version directory, beside it and beside the dataset change nothing."""
    littered = tmp_path / "littered"
    version = kit.copy_golden("pairs_tfrecord", littered)
    for directory in (version, version.parent, littered):
        for file in (".hidden", "notes.txt", "x.tfrecord", "pairs_tfrecord-train.tfrecord-00003-of-00003", "checksums.tsv"):
            (directory / file).write_bytes(b"\xff" * 10)
        (directory / "1.0.0.incomplete").mkdir()
    (version.parent / "pairs_tfrecord_dataset_builder.py").write_text("raise SystemExit('executed')")
    code = """
        import pickle
        out, in_order = {}, tfds.ReadConfig(interleave_cycle_length=1)
        for name in sys.argv[4:]:
            splits, info = tfds.load(f"{name}:1.0.0", data_dir=sys.argv[1], with_info=True, read_config=in_order)
            out[name] = {split: list(ds.as_numpy_iterator()) for split, ds in splits.items()}
            if "label" in info.features:
                out[name]["names"] = info.features["label"].names
        pickle.dump(out, open(sys.argv[3], "wb"))
        for name in ("pairs_tfrecord", "pairs_tfrecord:1.0.0", "pairs_tfrecord:1.*.*"):
            ds = tfds.load(name, data_dir=sys.argv[2], split="train", read_config=in_order)
            print([int(example["label"]) for example in ds.as_numpy_iterator()])
        assert sys.modules["tfds_builder"] is None and sys.modules["exporters"] is None
    """
    import pickle

    done = run_python(BLOCKED + kit.dedent(code), catalog, littered, tmp_path / "out", *TFRECORDS)
    found = pickle.loads((tmp_path / "out").read_bytes())
    assert tuple(found["pairs_tfrecord"].pop("names")) == kit.make.CLASSES
    assert found["kinds_tfrecord"].pop("names") == [str(number) for number in range(300)]
    for name in TFRECORDS:
        expected = {split: kit.examples(columns) for split, columns in kit.make.truth(name).items()}
        assert {split: [kit.bits(example) for example in rows] for split, rows in found[name].items()} == expected
    assert done.stdout.splitlines() == [str(kit.make.truth("pairs")["train"]["label"].tolist())] * 3


def test_hdf5_unregistered(catalog, run_python):
    """An HDF5 dataset that nobody registered is TFDS's own DatasetNotFoundError, with data_dir or without."""
    code = """
        for name in sys.argv[2:]:
            for options in ({"data_dir": sys.argv[1]}, {}):
                try:
                    tfds.load(name, **options)
                except tfds.core.DatasetNotFoundError:
                    print("not found")
    """
    names = ("pairs_hdf5", "pairs_hdf5:1.0.0", "text_hdf5:1.*.*")
    assert run_python(BLOCKED + kit.dedent(code), catalog, *names).stdout.splitlines() == ["not found"] * 6
