"""TFDS's own tests of its features, unchanged, out of the installed wheel; only what writes and reads an example is ours.

`testing.FeatureExpectationsTestCase.assertFeatureTest` encodes, writes, reads and decodes one example. Here it exports the
example from a DataLoader, in both formats, and reads it with `tfds.load`, stock TFDS, a data source and `as_torch`. What
differs from what TFDS expects fails, unless `differences.py` lists it, with a reason.

    tox run -e peers
"""

from __future__ import annotations

import fnmatch
import importlib
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets import testing
from torch.utils.data import DataLoader

import exporters
import tfds_builder

sys.path.insert(0, str(Path(__file__).parent))

from differences import DIFFERENCES, NOT_RUN

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
                    if reader == "as_torch":
                        assert _is_close(got, expected, test.atol or 0), f"{got!r:.120} is not {expected!r:.120}"
                    elif test.raise_cls is None and test.raise_cls_np is None:
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
                yield "as_torch", lambda: _as_lists(tfds_builder.as_torch(path, "train")[0]["inner"]), _as_lists(expected)
        if test.expected_np is not None:
            expected_np = None if is_none else test.expected_np
            yield "data_source", lambda: ours.as_data_source("train", decoders=decoders)[0]["inner"], expected_np


def _first(ds):
    return next(iter(tfds.as_numpy(ds)))["inner"]


def _is_close(one, other, atol):
    """Whether two structures of lists are alike; an empty list has no axes that could be compared."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_is_close(one[k], other[k], atol) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(lambda a, b: _is_close(a, b, atol), one, other))
    return one == other or (one != one and other != other) or (not isinstance(one, bytes) and abs(one - other) <= atol)


def _as_lists(value):
    """A value as lists, dicts of lists and plain values, by key where there is a dataset of dicts: `as_torch` gives what the
    loader gave, in tensors and lists, and TFDS expects arrays, ragged tensors and datasets of the same."""
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, tf.data.Dataset):
        value = list(tfds.as_numpy(value))
    if hasattr(value, "to_list"):
        return value.to_list()
    if hasattr(value, "tolist"):
        return _as_lists(value.tolist()) if hasattr(value, "shape") and value.shape else value.tolist()
    if isinstance(value, bytes) or not hasattr(value, "__iter__"):
        return value
    items = list(value)
    if items and isinstance(items[0], dict):
        return {key: _as_lists([item[key] for item in items]) for key in items[0]}
    return [_as_lists(item) for item in items]


def _cases():
    for name in MODULES:
        module = importlib.import_module(f"tensorflow_datasets.core.features.{name}_test")
        for key, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, testing.FeatureExpectationsTestCase):
                yield key, type(key, (Peer, value), {"__module__": __name__, **_left_out(key, value)})


def _left_out(name, case):
    """In place of tests that need what the wheel lacks: tests that say so."""
    found = {}
    for method in dir(case):
        reason = next((reason for pattern, reason in NOT_RUN.items() if fnmatch.fnmatchcase(f"{name}.{method}", pattern)), None)
        if reason is not None:
            found[method] = pytest.mark.skip(reason=reason)(lambda self: None)
    return found


globals().update(_cases())


def test_zz_every_difference_is_one():
    """Each listed difference was met: one that is mended is taken from the list."""
    assert [item for item in DIFFERENCES if item not in USED] == []
