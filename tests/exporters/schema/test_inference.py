"""What nothing is declared for has the feature of the dtype table."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch

F = tfds.features


X, Y = torch.zeros(4, 5), torch.arange(4)


INFERRED = {
    "text": (["a", "é"], F.Text()),
    "bytes": ([b"a", b"\xff"], F.Tensor(shape=(), dtype=np.object_)),
    "strings": (np.array([["a", "b"]], object), F.Tensor(shape=(2,), dtype=np.object_)),
    "bfloat16": (X.bfloat16(), F.Tensor(shape=(5,), dtype=ml_dtypes.bfloat16, encoding="bytes")),
    "uint32": (X.numpy().astype(np.uint32), F.Tensor(shape=(5,), dtype=np.uint32)),
    "complex": (torch.arange(20).reshape(4, 5).cdouble(), F.Tensor(shape=(5,), dtype=np.complex128, encoding="bytes")),
    "scalars": (Y.bool(), F.Tensor(shape=(), dtype=np.bool_, encoding="bytes")),
    "images": (torch.zeros(1, 3, 8, 9), F.Tensor(shape=(8, 9, 3), dtype=np.float32, encoding="bytes")),
}


@pytest.mark.parametrize("case", INFERRED)
def test_inferred_features(case, publish, loader_of, manifest_of):
    """The inferred feature is the one of the dtype table."""
    from tfds_builder.features.feature_json import features_to_json

    batch, feature = INFERRED[case]
    assert manifest_of(publish(loader_of({"x": batch}))).features == features_to_json(F.FeaturesDict({"x": feature}))
