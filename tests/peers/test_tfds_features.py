"""TFDS's own tests of its features, unchanged, out of the installed wheel; only what writes and reads an example is ours.

`testing.FeatureExpectationsTestCase.assertFeatureTest` encodes, writes, reads and decodes one example. Here it exports the
example from a DataLoader, in both formats, and reads it with `tfds.load`, stock TFDS, a data source and `as_torch`. What
differs from what TFDS expects fails, unless `differences.py` lists it, with a reason.

    tox run -e peers
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets import testing
from torch.utils.data import DataLoader

import exporters
import tfds_builder

sys.path.insert(0, str(Path(__file__).parent))

from differences import DIFFERENCES

MODULES = (
    "audio_feature", "bounding_boxes", "class_label_feature", "dataset_feature", "feature", "features", "image_feature",
    "labeled_image", "optional_feature", "scalar", "sequence_feature", "tensor_feature", "text_feature", "top_level_feature",
    "translation_feature", "video_feature",
)  # fmt: skip
FORMATS = ("tfrecord", "hdf5")
USED = set()


class Peer:
    """Takes the place of the one method of TFDS's test case that writes and reads an example."""

    def assertFeatureTest(self, serialize_fdict, deserialize_fdict, test, feature, **_):
        """As TFDS's; each example is written once, though TFDS asks for it in graph mode too, and of features restored
        from their JSON."""
        if not tf.executing_eagerly() or getattr(test, "_was_exported", False):
            return
        test._was_exported = True
        found = []
        for format in FORMATS:
            found += [(format, *difference) for difference in self._differences(test, serialize_fdict["inner"], format)]
        place = f"{type(self).__name__}.{self._testMethodName}"
        for format, reader, text in found:
            listed = [item for item in DIFFERENCES if item.covers(place, format, reader, text)]
            USED.update(listed)
            with self._subTest(f"{format} {reader}"):
                assert listed, f"{place}, {format}, {reader}: {test.value!r:.200} of {feature!r:.200}: {text}"

    def _differences(self, test, feature, format):
        """(reader, what differs) of one example in one format."""
        with tempfile.TemporaryDirectory() as data_dir:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    loader = DataLoader([{"inner": test.value}], batch_size=1, collate_fn=list)
                    result = exporters.export(
                        loader,
                        data_dir,
                        name="peer",
                        format=format,
                        features={"inner": feature},
                        progress=False,
                        on_hazard="ignore",
                    )
            except exporters.ExportError as error:
                if test.raise_cls is None and test.raise_cls_np is None:
                    yield "export", f"{type(error).__name__}: {error}"
                return
            except Exception as error:
                yield "export", f"not an ExportError, {type(error).__name__}: {error}"
                return
            problems = tfds_builder.verify(result.path, deep=True).problems
            if problems:
                yield "verify", f"{problems}"
            for reader, read, expected in self._readers(test, result.path, format):
                try:
                    got = read()
                    if test.raise_cls is None and test.raise_cls_np is None:
                        self.assertAllEqualNested(got, expected, atol=test.atol)
                    elif reader == "tfds.load":
                        yield reader, f"gives {got!r:.200}, where TFDS raises {test.raise_cls or test.raise_cls_np}"
                except Exception as error:
                    if test.raise_cls is None and test.raise_cls_np is None:
                        yield reader, f"{type(error).__name__}: {error!s:.300}"

    def _readers(self, test, path, format):
        """(name, how to read the example, what TFDS expects) of each reader."""
        decoders = {"inner": test.decoders} if test.decoders else None
        ours = tfds_builder.builder_from_directory(path)
        is_none = isinstance(test.expected_np, testing.feature_test_case.TestValue)
        if test.expected is not None:
            expected = tf.nest.map_structure(lambda t: t.build() if isinstance(t, testing.RaggedConstant) else t, test.expected)
            yield "tfds.load", lambda: _first(ours.as_dataset(split="train", decoders=decoders)), expected
            if format == "tfrecord":
                stock = tfds.builder_from_directory(path)
                yield "stock", lambda: _first(stock.as_dataset(split="train", decoders=decoders)), expected
            if decoders is None:
                yield "as_torch", lambda: _plain(tfds_builder.as_torch(path, "train")[0]["inner"]), _by_key(expected)
        if test.expected_np is not None:
            expected_np = None if is_none else test.expected_np
            yield "data_source", lambda: ours.as_data_source("train", decoders=decoders)[0]["inner"], expected_np


def _first(ds):
    return next(iter(tfds.as_numpy(ds)))["inner"]


def _plain(value):
    """What `as_torch` gave, with tensors as arrays and text as bytes, as TFDS expects them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist") and value.ndim > 1 and not value.numel():
        return value.numpy()
    if isinstance(value, str):
        return value.encode()
    return value.numpy() if hasattr(value, "numpy") else value


def _by_key(expected):
    """What TFDS expects as `as_torch` gives it: a dataset of dicts by key, one of values, and what is ragged, as lists."""
    if isinstance(expected, dict):
        return {key: _by_key(item) for key, item in expected.items()}
    if isinstance(expected, tf.RaggedTensor | tf.compat.v1.ragged.RaggedTensorValue):
        return expected.to_list()
    if isinstance(expected, tf.data.Dataset) or (isinstance(expected, list) and expected and isinstance(expected[0], dict)):
        items = list(tfds.as_numpy(expected) if isinstance(expected, tf.data.Dataset) else expected)
        return {key: [item[key] for item in items] for key in items[0]} if items and isinstance(items[0], dict) else items
    return expected


def _cases():
    for name in MODULES:
        module = importlib.import_module(f"tensorflow_datasets.core.features.{name}_test")
        for key, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, testing.FeatureExpectationsTestCase):
                yield key, type(key, (Peer, value), {"__module__": __name__})


globals().update(_cases())


def test_zz_every_difference_is_one():
    """Each listed difference was met: one that is mended is taken from the list."""
    assert [item for item in DIFFERENCES if item not in USED] == []
