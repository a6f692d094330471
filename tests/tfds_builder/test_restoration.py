"""`restore`: the floats of features that are stored as integers, in the graph of TensorFlow and in NumPy."""

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.contract.integers import Integers

FLOATS = np.stack([(np.arange(256) / 255 - mean) / 0.25 for mean in (0.125, 0.25, 0.5)]).astype(np.float32)
TABLE = Integers.of("image", "(x/255 - [0.125, 0.25, 0.5])/0.25", FLOATS)
IMAGES = np.random.default_rng(1).integers(0, 256, (10, 4, 5, 3)).astype(np.uint8)
LABELS = np.arange(10)
NORMAL = np.stack([FLOATS[channel][IMAGES[..., channel]] for channel in range(3)], axis=-1)


@pytest.fixture
def published(tmp_path):
    """A dataset `photos` of `IMAGES`, which were `NORMAL`, and `LABELS`; registered."""
    columns = {"train": {"image": IMAGES, "label": LABELS}}
    path = kit.write_table(tmp_path, "photos", columns, supervised_keys=("image", "label"), integers=(TABLE,))
    tfds_builder.register(tmp_path)
    return path


def as_bits(array):
    return array.dtype, array.shape, array.tobytes()


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"as_supervised": True}, {"as_supervised": True, "batch_size": 4}])
def test_in_a_pipeline(options, published):
    """`ds.map(restore(name))` gives the floats, whatever `tfds.load` was asked for; labels stay as they are."""
    ds = tfds.load("photos", split="train", **options).map(tfds_builder.restore("photos"))
    elements = [
        element if isinstance(element, tuple) else (element["image"], element["label"]) for element in ds.as_numpy_iterator()
    ]
    join = np.concatenate if "batch_size" in options else np.stack
    images, labels = (join(parts) for parts in zip(*elements, strict=True))
    assert as_bits(images) == as_bits(NORMAL)
    assert labels.tolist() == LABELS.tolist()


def test_of_a_data_source(published):
    """Of NumPy's arrays as a data source gives them, it gives NumPy's."""
    source, restore = tfds.data_source("photos", split="train"), tfds_builder.restore("photos")
    assert [as_bits(restore(row)["image"]) for row in source] == [as_bits(row) for row in NORMAL]
    image, label = restore((IMAGES[:2], LABELS[:2]))
    assert as_bits(image) == as_bits(NORMAL[:2])
    assert label is not None


def test_what_it_is_given(published):
    """A name, a path or a builder; what is of none of them is refused."""
    for given in ("photos", "photos:1.0.0", published, str(published), tfds.builder("photos")):
        assert as_bits(tfds_builder.restore(given)({"image": IMAGES})["image"]) == as_bits(NORMAL)
    with pytest.raises(tfds_builder.MissingFileError):
        tfds_builder.restore("no_such_dataset")


def test_what_it_refuses(published):
    """What was restored or cast already is refused by name, and so are tuples of another length."""
    restore = tfds_builder.restore("photos")
    with pytest.raises(TypeError, match="feature 'image': expected the uint8"):
        restore({"image": NORMAL})
    with pytest.raises(ValueError, match="got 3 values"):
        restore(IMAGES, LABELS, LABELS)


def test_datasets_without_floats(tmp_path):
    """Of a dataset that stores no floats as integers, examples stay as they are."""
    path = kit.write_table(tmp_path, "plain", {"train": {"image": IMAGES, "label": LABELS}})
    example = {"image": IMAGES, "label": LABELS}
    assert tfds_builder.restore(path)(example) == example


def test_what_is_said_of_it(published):
    """The manifest has the table, and says of the feature what it was."""
    from tfds_builder.catalog.describe import describe
    from tfds_builder.catalog.read import read_manifest

    manifest = read_manifest(published)
    assert manifest.integers == (TABLE,)
    assert describe(manifest)[0].note == "float32 images, stored as the uint8 they came from: (x/255 - [0.125, 0.25, 0.5])/0.25"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tables: tables[0].update(name="picture"), "which is no feature"),
        (lambda tables: tables[0].update(name="label"), "is int64, and its table is of uint8"),
        (lambda tables: tables.append(tables[0]), "listed twice"),
        (lambda tables: tables[0].update(channels=2, floats=tables[0]["floats"][:2]), "a table of 2 channels"),
        (lambda tables: tables[0].update(levels=65536, floats=[tables[0]["floats"][0] * 256] * 3), "of uint16"),
    ],
)
def test_tables_that_do_not_fit(change, told, published):
    """A manifest whose table is not of what is stored is refused."""
    kit.edit_manifest(published, lambda content: change(content["integers"]))
    with pytest.raises(tfds_builder.ManifestError, match=told):
        tfds_builder.builder_from_directory(published)


@pytest.mark.needs_torch
def test_as_torch(published):
    """`as_torch` gives the floats, one by one and together."""
    dataset = tfds_builder.as_torch("photos", as_supervised=False)
    assert [as_bits(row["image"].numpy()) for row in dataset] == [as_bits(row) for row in NORMAL]
    assert [as_bits(row["image"].numpy()) for row in dataset.__getitems__(range(10))] == [as_bits(row) for row in NORMAL]
