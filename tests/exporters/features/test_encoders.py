"""Images that Pillow encodes: what TFDS reads of them, and what happens without Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds

from exporters import SchemaError
from exporters.features import encoders as encoding

F = tfds.features
KINDS = [("uint8", 1), ("uint8", 3), ("uint8", 4), ("uint16", 1)]


def pixels(dtype, channels, rows=5):
    shape = (rows, 8, 9, channels)
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.needs_tensorflow
def test_tfds_reads_pillows_png(publish, loader_of, tmp_path, run_python):
    """Stock `tfds.load` gives back every pixel of a PNG that Pillow wrote, of every kind."""
    written = {f"{dtype}_{channels}": pixels(dtype, channels) for dtype, channels in KINDS}
    features = {name: F.Image(shape=images.shape[1:], dtype=images.dtype) for name, images in written.items()}
    result = publish(loader_of(written), data_dir=tmp_path / "data", features=features, layouts=dict.fromkeys(written, "NHWC"))
    assert sum(told.endswith("Image, encoded by Pillow") for told in result.decisions) == len(KINDS)
    source = """
        import sys
        sys.modules["exporters"] = sys.modules["tfds_builder"] = sys.modules["PIL"] = None
        import numpy as np, tensorflow_datasets as tfds
        ds = tfds.load("ds:1.0.0", data_dir=sys.argv[1], split="train")
        rows = list(ds.as_numpy_iterator())
        np.savez(sys.argv[2], **{name: np.stack([row[name] for row in rows]) for name in rows[0]})
    """
    run_python(source, tmp_path / "data", tmp_path / "read.npz")
    read = np.load(tmp_path / "read.npz")
    assert set(read) == set(written)
    for name, images in written.items():
        assert read[name].dtype == images.dtype
        np.testing.assert_array_equal(read[name], images)


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_as_good_as_that_of_tfds(channels, round_trip):
    """A JPEG by Pillow is as far from the image, and as large, as the one that TFDS would have written."""
    import tensorflow as tf

    y, x = np.mgrid[:64, :80]
    image = np.stack([x * 2, y * 3, (x + y)], -1)[..., :channels].astype(np.uint8)
    feature = F.Image(shape=image.shape, encoding_format="jpeg")
    stored = round_trip({"image": image[None]}, features={"image": feature}, layouts={"image": "NHWC"})["image"]
    ours, theirs = stored.ravel()[0], feature.encode_example(image)
    errors = [np.abs(tf.io.decode_jpeg(data).numpy().astype(int) - image) for data in (ours, theirs)]
    assert abs(errors[0].mean() - errors[1].mean()) < 0.1
    assert errors[0].max() <= errors[1].max() + 2
    assert len(ours) == pytest.approx(len(theirs), rel=0.05)


@pytest.mark.needs_tensorflow
def test_without_pillow_tfds_encodes(monkeypatch, publish, loader_of, read_back):
    """Without Pillow, and for an image it cannot write (float32), TFDS's own encoder does it, and the decision says so."""
    import tensorflow as tf

    depth = np.random.default_rng(0).random((4, 8, 9, 1), np.float32)
    result = publish(loader_of({"d": depth}), features={"d": F.Image(shape=(8, 9, 1), dtype=np.float32)})
    assert result.decisions[0].endswith("Image, encoded by TFDS")
    monkeypatch.setattr(encoding, "_pillow", lambda: None)
    images = pixels("uint8", 3)
    result = publish(loader_of({"i": images}), features={"i": F.Image(shape=(8, 9, 3))})
    assert result.decisions[0].endswith("Image, encoded by TFDS")
    read = [tf.io.decode_png(data).numpy() for data in read_back(result)["i"].ravel()]
    np.testing.assert_array_equal(read, images)


def test_neither_pillow_nor_tensorflow(monkeypatch, publish, loader_of):
    """Where nothing that encodes an image is installed, the error names the smaller of the two extras."""

    def missing(self, image):
        raise ImportError("No module named 'tensorflow'")

    monkeypatch.setattr(encoding, "_pillow", lambda: None)
    monkeypatch.setattr(F.Image, "encode_example", missing)
    with pytest.raises(SchemaError, match=r"batch 0, feature 'i': TFDS needs TensorFlow .*pip install .*\[image\]"):
        publish(loader_of({"i": pixels("uint8", 3)}), features={"i": F.Image(shape=(8, 9, 3))})


def test_an_image_that_pillow_refuses(publish, loader_of):
    """What an encoder refuses is told with split, batch, feature and row."""
    with pytest.raises(SchemaError, match="split 'train', batch 0, feature 'i', row 0: Pillow cannot encode it"):
        publish(
            loader_of({"i": np.zeros((2, 0, 9, 3), np.uint8)}), features={"i": F.Image(shape=(0, 9, 3))}, layouts={"i": "NHWC"}
        )
