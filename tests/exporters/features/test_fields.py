"""A leaf of the features takes only what the first batch said of it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch

from exporters import SchemaError
from exporters.batches import flatten as batches_lib
from exporters.engines import workers
from exporters.options.features import Options
from exporters.schema import schema as schema_lib

F = tfds.features


def test_a_worker_that_decides_otherwise():
    """A column that a worker stores in another way than the first batch says is refused, with the difference."""
    raw = [torch.zeros(2, 7), torch.zeros(2)]

    def decide(names):
        feature = F.Tensor(shape=(7,), dtype=np.float32, encoding="zlib")
        return schema_lib.infer(batches_lib.to_batch(raw, "train", 0), ["0", "1"], None, Options(names, {names[0]: feature}))

    ours, theirs = decide(["a", "b"]), decide(["c", "b"])
    encoded = batches_lib.encode_parts(raw, {"0": workers._encoder(theirs.fields[1], None, "c")})
    with pytest.raises(SchemaError, match=r"split 'train', batch 4, feature 'a': expected name 'a', got name 'c' from a worker"):
        ours.encode(batches_lib.to_batch(encoded, "train", 4), "train")
