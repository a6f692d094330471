"""`tfds_builder.builder`: the DatasetBuilder itself, its info, and what TFDS's helpers make of it."""

import json
import pickle

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.errors import DatasetError, ManifestError, MissingFileError


@pytest.fixture
def builder_of(golden):
    return lambda name: tfds_builder.builder_from_directory(golden / name / "1.0.0")


@kit.every_golden
def test_pickle(name, builder_of):
    """A pickled builder has the same info and reads the same examples."""
    builder = builder_of(name)
    expected = kit.outcome(builder.as_dataset(split="train"))
    again = pickle.loads(pickle.dumps(builder))
    assert kit.outcome(again.as_dataset(split="train")) == expected
    assert again.info.as_json == builder.info.as_json


@pytest.mark.once
def test_pickle_in_another_process(builder_of, run_python):
    """A pickled builder can be read in a process that registered nothing."""
    pickled = pickle.dumps(builder_of("pairs_hdf5")).hex()
    code = """
        import pickle, sys
        builder = pickle.loads(bytes.fromhex(sys.argv[1]))
        print([int(e["label"]) for e in builder.as_dataset(split="train").as_numpy_iterator()])
    """
    assert json.loads(run_python(code, pickled).stdout) == kit.make.truth("pairs")["train"]["label"].tolist()


@kit.both_formats
def test_load_with_info(format, golden):
    """`tfds.load` of a registered dataset gives datasets and info, through the builder of this package."""
    tfds_builder.register(golden)
    splits, info = tfds.load(f"pairs_{format}", with_info=True, as_supervised=True, batch_size=5, shuffle_files=True)
    assert set(splits) == {"train", "test", "few"}
    assert info.splits["train"].num_examples == 53
    assert isinstance(tfds.builder(f"pairs_{format}"), tfds_builder.ExportedBuilder)
    images, labels = next(iter(splits["train"]))
    assert (images.shape, labels.shape) == ((5, 4, 5, 3), (5,))


@kit.both_formats
def test_as_numpy(format, builder_of):
    """`tfds.as_numpy` gives NumPy examples, and NumPy arrays of a whole split."""
    builder, columns = builder_of(f"pairs_{format}"), kit.make.truth("pairs")["test"]
    whole = tfds.as_numpy(builder.as_dataset(split="test", batch_size=-1))
    assert kit.bits(whole) == kit.bits(columns)
    found = [kit.bits(example) for example in tfds.as_numpy(builder.as_dataset(split="test"))]
    assert found == kit.examples(columns)


@kit.both_formats
def test_as_dataframe(format, builder_of):
    """`tfds.as_dataframe` shows the examples (where pandas is installed)."""
    pytest.importorskip("pandas")
    builder = builder_of(f"pairs_{format}")
    frame = tfds.as_dataframe(builder.as_dataset(split="test"), builder.info)
    assert frame["label"].tolist() == kit.make.truth("pairs")["test"]["label"].tolist()


def test_keras_trains(builder_of):
    """Keras fits a model on a dataset as it comes from `tfds.load`, shuffled and batched, and learns what is in it."""
    import keras

    keras.utils.set_random_seed(0)
    read = {"split": "train", "as_supervised": True, "batch_size": 8}
    builder = builder_of("pairs_hdf5")
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(5)]
    model = keras.Sequential([keras.Input((4, 5, 3)), *layers])
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(builder.as_dataset(shuffle_files=True, **read), epochs=25, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0] / 2
    assert model.evaluate(builder.as_dataset(**read), verbose=0)[1] > 0.9


# --- versions and directories ----------------------------------------------------------------------


@pytest.fixture
def versions(tmp_path):
    """A dataset with three versions, whose rows begin at 0, 100 and 1000, and things that are no versions."""
    for start, version in ((0, "1.0.0"), (100, "1.9.0"), (1000, "1.10.0")):
        kit.write_table(tmp_path, "versioned", {"train": kit.numbers(3, start)}, version=version)
    for other in ("1.11.0.incomplete", "2.0", "v3.0.0", "01.0.0", "2.0.0"):
        (tmp_path / "versioned" / other).mkdir()
    (tmp_path / "versioned" / "9.0.0").write_text("a file")
    return tmp_path


class Versioned(tfds_builder.ExportedBuilder, skip_registration=True):
    """A builder as a generated module has one, without a data_dir of its own."""

    name = "versioned"


@pytest.mark.parametrize(
    ("asked", "first"),
    [(None, 1000), ("1.0.0", 0), ("1.9.0", 100), ("1.*.*", 1000), ("1.9.*", 100), ("*.*.*", 1000), ("1.0.*", 0)],
)
def test_versions(asked, first, versions):
    """A version, a pattern or none at all gives that version, the newest that fits, or the newest, by number and not by text."""
    builder = Versioned(data_dir=versions, version=asked)
    assert next(builder.as_dataset(split="train").as_numpy_iterator())["row"] == first
    assert [str(version) for version in builder.versions] == ["1.10.0", "1.9.0", "1.0.0"]
    assert str(builder.canonical_version) == "1.10.0"


@pytest.mark.parametrize("asked", ["2.0.0", "1.11.0", "3.*.*", "9.0.0"])
def test_version_that_is_not_published(asked, versions):
    """A version that is not published is TFDS's AssertionError, even if a directory or a file has its name."""
    with pytest.raises(AssertionError, match="version"):
        Versioned(data_dir=versions, version=asked)


def test_config_must_be_none(versions):
    """Asking for a configuration is an error: an exported dataset has one."""
    with pytest.raises(ValueError):
        Versioned(data_dir=versions, config="other")


def test_no_data(tmp_path):
    """A builder without data_dir, or with one that holds no such dataset, is a MissingFileError that says what to pass."""
    with pytest.raises(MissingFileError, match="data_dir="):
        Versioned()
    with pytest.raises(MissingFileError, match=r"versioned.*data_dir="):
        Versioned(data_dir=tmp_path)


def test_user_directory(versions, monkeypatch):
    """A data_dir that begins with `~` is the user's own."""
    monkeypatch.setenv("HOME", str(versions))
    assert str(Versioned(data_dir="~").version) == "1.10.0"


@kit.both_formats
def test_gone_in_the_meantime(format, tmp_path):
    """A version that is removed after its builder was made is an error that names the directory, not an empty dataset."""
    directory = kit.copy_golden(f"pairs_{format}", tmp_path)
    builder = tfds_builder.builder_from_directory(directory)
    directory.rename(tmp_path / "moved")
    for use in (lambda: builder.as_dataset(split="train"), builder.download_and_prepare):
        with pytest.raises(MissingFileError, match=f"{directory} is gone; an exported dataset cannot be downloaded"):
            use()


def test_download_and_prepare_is_harmless(builder_of, golden):
    """`download_and_prepare` of a published dataset does nothing, so that scripts that call it keep working."""
    before = {path: path.stat().st_mtime_ns for path in golden.rglob("*")}
    builder_of("pairs_hdf5").download_and_prepare()
    assert {path: path.stat().st_mtime_ns for path in golden.rglob("*")} == before


@pytest.mark.parametrize("damage", ["", "{", '{"format_version": 99}'])
def test_damaged_manifest(damage, tmp_path):
    """A damaged manifest, or one of a newer format version, is a ManifestError that names the file."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    (directory / "manifest.json").write_text(damage)
    with pytest.raises(ManifestError, match=r"1\.0\.0/manifest\.json"):
        tfds_builder.builder_from_directory(directory)


@pytest.mark.parametrize(
    "features", [{}, {"pythonClassName": "os.system"}, {"featuresDict": {"features": {"x": {"pythonClassName": "no.Such"}}}}]
)
def test_features_that_are_not_tfds_features(features, tmp_path):
    """Features that TFDS cannot make sense of, or that have no column, are a ManifestError."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    kit.edit_manifest(directory, lambda content: content.update(features=features))
    with pytest.raises(ManifestError):
        tfds_builder.builder_from_directory(directory)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json", "label.labels.txt"])
@pytest.mark.parametrize("damage", ["altered", "longer", "missing"])
def test_damaged_metadata(file, damage, tmp_path):
    """TFDS metadata that is not what was published is a DatasetError that names the file."""
    path = kit.copy_golden("pairs_tfrecord", tmp_path) / file
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data + b" " if damage == "longer" else data[:9] + bytes([data[9] ^ 1]) + data[10:])
    with pytest.raises(DatasetError, match=file):
        kit.outcome(tfds_builder.builder_from_directory(path.parent).as_dataset(split="train"))


def test_not_a_version_directory(tmp_path):
    """A directory that is none of ours is a MissingFileError that says so."""
    with pytest.raises(MissingFileError, match="not a version directory published by torch2tfds"):
        tfds_builder.builder_from_directory(tmp_path)


@kit.both_formats
def test_shard_values_are_little_endian_numpy(format, builder_of):
    """The manifest of a builder describes the very files that are read."""
    builder = builder_of(f"pairs_{format}")
    assert builder.manifest.format == format
    assert np.sum([shard.rows for shard in builder.manifest.splits["train"].shards]) == 53
