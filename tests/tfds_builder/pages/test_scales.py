"""`tfds_builder.statistics` feeds the layers that normalize: what it gives, given to them, makes mean 0 and variance 1."""

import consumer_kit as kit
import numpy as np
import pytest

import tfds_builder
from tfds_builder.contract.integers import Integers
from tfds_builder.errors import MissingFileError

SCALES = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
"""Mean and std of each channel."""


@pytest.fixture
def version(tmp_path):
    """Images of three channels of different brightness, beside a table of floats and a number."""
    random = np.random.RandomState(1)
    image = (random.rand(40, 5, 6, 3) * [50, 100, 255]).astype(np.uint8)
    table = (random.normal(size=(40, 13)) * np.arange(1, 14) + np.arange(13)).astype(np.float32)
    columns = {"image": image, "number": np.arange(40.0), "table": table}
    return kit.write_table(tmp_path, "mixed", {"train": columns, "test": columns}), columns


def test_by_channel(version):
    """Mean and variance are those of NumPy along every axis but the last, in the feature's own scale and in 0 to 1."""
    directory, columns = version
    found = tfds_builder.statistics(directory)
    assert list(found) == ["image", "number", "table"]
    for name in ("image", "table"):
        values = columns[name].astype(np.float64)
        axes = tuple(range(values.ndim - 1))
        np.testing.assert_allclose(found[name].mean, values.mean(axes))
        np.testing.assert_allclose(found[name].variance, values.var(axes))
        np.testing.assert_allclose(found[name].std, values.std(axes))
    assert found["number"].mean.shape == () == found["number"].variance.shape
    unit = found["image"].to_unit()
    np.testing.assert_allclose(unit.mean, (columns["image"] / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(unit.std, (columns["image"] / 255).std((0, 1, 2)))


def test_by_name(version):
    """A registered name does as well as a path."""
    directory, _ = version
    tfds_builder.register(directory.parents[1])
    by_name = tfds_builder.statistics("mixed", split="test")
    np.testing.assert_array_equal(by_name["table"].mean, tfds_builder.statistics(str(directory), "test")["table"].mean)


def test_which_feature(version, golden):
    """Without a name the input of a supervised pair is meant; where that is not clear the error names what there is."""
    pairs = tfds_builder.statistics(golden / "pairs_hdf5" / "1.0.0")
    assert pairs.input.name == "image"
    np.testing.assert_array_equal(pairs.mean, pairs["image"].mean)
    np.testing.assert_array_equal(pairs.std**2, pairs.variance)
    with pytest.raises(ValueError, match=r"say which feature is meant.*'image', 'number', 'table'"):
        _ = tfds_builder.statistics(version[0]).mean


def test_what_is_refused(version):
    """No such split, no such feature, no scale from 0 to 1 for floats, nothing at that path."""
    found = tfds_builder.statistics(version[0])
    with pytest.raises(ValueError, match=r"no split 'train\[:5\]'; it has 'train', 'test'"):
        tfds_builder.statistics(version[0], split="train[:5]")
    with pytest.raises(KeyError, match="no numbers in a feature 'imag'"):
        _ = found["imag"]
    with pytest.raises(TypeError, match="float32 has no largest value"):
        found["table"].to_unit()
    with pytest.raises(MissingFileError):
        tfds_builder.statistics(version[0] / "not")


@pytest.mark.needs_tensorflow
def test_keras(version):
    """A Normalization layer that is given the numbers makes mean 0 and variance 1 by channel."""
    import tensorflow as tf

    directory, columns = version
    for name, axis in (("image", -1), ("table", -1), ("number", None)):
        scale = tfds_builder.statistics(directory)[name]
        layer = tf.keras.layers.Normalization(axis=axis, mean=scale.mean, variance=scale.variance)
        out = layer(columns[name].astype(np.float32)).numpy()
        axes = tuple(range(out.ndim - 1)) or None
        np.testing.assert_allclose(out.mean(axes), 0, atol=1e-5)
        np.testing.assert_allclose(out.std(axes), 1, atol=1e-5)


@pytest.mark.needs_torch
def test_torchvision(version):
    """torchvision's Normalize reckons (x - mean) / std by channel, of images from 0 to 1: with these it is mean 0 and std 1."""
    import torch

    directory, columns = version
    unit = tfds_builder.statistics(directory)["image"].to_unit()
    images = torch.from_numpy(columns["image"]).permute(0, 3, 1, 2) / 255
    try:
        from torchvision.transforms import Normalize
    except ImportError:  # its own formula (torchvision.transforms.functional.normalize)
        mean, std = (torch.as_tensor(values, dtype=images.dtype).view(-1, 1, 1) for values in (unit.mean, unit.std))
        out = (images - mean) / std
    else:
        out = Normalize(unit.mean, unit.std)(images)
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((0, 2, 3), unbiased=False), 1, atol=1e-5)


def restorable(tmp_path, floats):
    """Images that are stored as the integers they came from, by a table of floats."""
    image = np.random.RandomState(1).randint(0, 256, (40, 5, 6, 3)).astype(np.uint8)
    table = Integers.of("image", "a rule", floats)
    return kit.write_table(tmp_path, "photos", {"train": {"image": image}}, integers=(table,)), image, table


def test_restored(tmp_path):
    """Mean and variance of the floats that integers were, by channel, from their table."""
    directory, image, table = restorable(
        tmp_path, np.stack([(np.arange(256) / 255 - m) / s for m, s in SCALES]).astype(np.float32)
    )
    found, floats = tfds_builder.statistics(directory), table.restore(image).astype(np.float64)
    np.testing.assert_allclose(found.mean, image.mean((0, 1, 2)))
    np.testing.assert_allclose(found.restored().mean, floats.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.restored().variance, floats.var((0, 1, 2)), rtol=1e-5)
    assert found.restored().dtype == "float32"
    factor, offset = found["image"].rescaling
    np.testing.assert_allclose(image * factor + offset, floats, atol=1e-5)


def test_one_table_for_all_channels(tmp_path):
    """One table is that of every channel."""
    directory, image, _ = restorable(tmp_path, (np.arange(256) / np.float32(255)).astype(np.float32)[None])
    np.testing.assert_allclose(tfds_builder.statistics(directory).restored().mean, (image / 255).mean((0, 1, 2)), rtol=1e-5)


def test_floats_that_are_not_rescaled(tmp_path, version):
    """Floats on a curve have no factor, and integers that were no floats nothing to go back to."""
    directory, _, _ = restorable(tmp_path / "curve", ((np.arange(256) / 255) ** 2.2).astype(np.float32)[None])
    with pytest.raises(TypeError, match="on a curve"):
        tfds_builder.statistics(directory).restored()
    with pytest.raises(TypeError, match="was no float"):
        _ = tfds_builder.statistics(version[0])["image"].rescaling


@pytest.mark.needs_tensorflow
def test_keras_rescaling(tmp_path):
    """Keras' Rescaling makes the floats of the integers that `tfds.load` gives, but for rounding."""
    import tensorflow as tf

    directory, image, table = restorable(
        tmp_path, np.stack([(np.arange(256) / 255 - m) / s for m, s in SCALES]).astype(np.float32)
    )
    layer = tf.keras.layers.Rescaling(*tfds_builder.statistics(directory).rescaling)
    np.testing.assert_allclose(layer(image).numpy(), table.restore(image), atol=1e-5)
