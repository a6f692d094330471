"""`tfds_builder.pages.tasks`: what features are, and what they look fit for."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.catalog.describe import Loaded
from tfds_builder.catalog.read import read_manifest
from tfds_builder.features.feature_json import features_to_json
from tfds_builder.pages.tasks import kind_of, kinds_of, tasks_of

F = tfds.features
LABEL, IMAGE = F.ClassLabel(num_classes=3), F.Image(shape=(8, 8, 3))
TASKS = (
    ({"image": IMAGE, "label": LABEL}, ["image", "label"], ["image classification"]),
    ({"image": IMAGE, "objects": F.Sequence({"bbox": F.BBoxFeature(), "label": LABEL})}, None, ["object detection"]),
    ({"image": IMAGE, "mask": F.LabeledImage(labels=3, shape=(8, 8, 1))}, ["image", "mask"], ["segmentation"]),
    ({"text": F.Text(), "label": LABEL}, ["text", "label"], ["text classification"]),
    ({"sound": F.Audio(), "label": LABEL}, ["audio", "label"], ["audio classification"]),
    ({"x": F.Tensor(shape=(4,), dtype=np.float32), "label": LABEL}, ["array", "label"], ["classification"]),
    ({"t": F.Translation(["de", "en"])}, ["translation"], ["translation"]),
    ({"tokens": F.Tensor(shape=(None,), dtype=np.int64)}, ["sequence"], []),
)


@pytest.mark.parametrize(("features", "kinds", "tasks"), TASKS)
def test_tasks(golden, features, kinds, tasks):
    """What a dataset is for is told by its features."""
    manifest = read_manifest(golden / "pairs_hdf5" / "1.0.0")
    one = dataclasses.replace(manifest, features=features_to_json(F.FeaturesDict(features)), columns=(), supervised_keys=None)
    assert tasks_of(one) == tasks
    assert kinds is None or sorted(kinds_of(one)) == sorted(kinds)


def test_regression(golden):
    """A float that is to be predicted makes it a regression."""
    manifest = read_manifest(golden / "pairs_hdf5" / "1.0.0")
    features = F.FeaturesDict({"x": F.Tensor(shape=(4,), dtype=np.float32), "y": F.Scalar(np.float32)})
    one = dataclasses.replace(manifest, features=features_to_json(features), columns=(), supervised_keys=("x", "y"))
    assert tasks_of(one) == ["regression"]
    assert tasks_of(dataclasses.replace(one, supervised_keys=None)) == []


BY_LAYOUT = (((8, 8, 3), "NCHW", "image"), ((8, 8, 3), "", "array"), ((8, 8, 5), "NCHW", "array"))


@pytest.mark.parametrize(("shape", "layout", "kind"), BY_LAYOUT)
def test_images_by_layout(shape, layout, kind):
    """An array is an image where the loader gave it channels of which there are 1, 3 or 4."""
    assert kind_of(Loaded("x", shape, "uint8", ""), layout) == kind
