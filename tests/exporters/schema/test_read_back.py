"""Feature classes of the caller's that no reader could make again: refused before the first byte."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, Dataset

from exporters import SchemaError

ROWS = 8


class Scaled(tfds.features.Tensor):
    """A tensor with an argument of its own, which its JSON leaves out."""

    def __init__(self, shape, dtype, scale, doc=None):
        super().__init__(shape=shape, dtype=dtype, doc=doc)
        self.scale = scale


class Undocumented(tfds.features.FeatureConnector):
    """What a first attempt looks like: `__init__` takes no doc."""

    def __init__(self, size=3):
        super().__init__()
        self.size = size

    def get_tensor_info(self):
        return tfds.features.TensorInfo(shape=(self.size,), dtype=np.int64)

    def encode_example(self, example):
        return np.asarray(example)

    def to_json_content(self):
        return {"size": self.size}


class Forgetful(Undocumented):
    """Its JSON says nothing of its size."""

    def __init__(self, size=2, doc=None):
        super().__init__(size)
        self._set_doc(doc or tfds.features.Documentation())

    def to_json_content(self):
        return {}


class Unwritable(Undocumented):
    def to_json_content(self):
        return {"size": np.arange(3)}


class Changing(Undocumented):
    """It comes back as a class of TFDS's."""

    @classmethod
    def from_json_content(cls, value, doc=None):
        return tfds.features.Tensor(shape=(value["size"],), dtype=np.int64)


class Mended(Undocumented):
    """As the error says."""

    def __init__(self, size=2, doc=None):
        super().__init__(size)
        self._set_doc(doc or tfds.features.Documentation())


class Note(tfds.features.Text):
    """A subclass with nothing of its own."""


class Counting(Dataset):
    """Vectors; counts what is asked for."""

    def __init__(self, wrap=lambda x: x):
        self.asked, self.wrap = 0, wrap

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        self.asked += 1
        return {"x": self.wrap(torch.arange(3) + index), "y": index}


CASES = {
    "no doc": (lambda: Undocumented(), r"Undocumented cannot be read back: its JSON makes no feature \(TypeError: .*doc"),
    "another size": (lambda: Forgetful(3), r"another shape or dtype, .\(2,\) .*int64.*, not .\(3,\) .*int64"),
    "no JSON": (lambda: Unwritable(), r"it gives no JSON \(TypeError: .*ndarray"),
    "another class": (lambda: Changing(), r"its JSON makes a tensorflow_datasets.*Tensor that is another class"),
    "an argument of its own": (lambda: Scaled((3,), np.int64, 2.0), r"its JSON makes no feature \(TypeError: .*unexpected"),
}


@pytest.mark.parametrize("where", ["itself", "inside"])
@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_read_back(case, where, refuses):
    """A feature of which JSON gives none, or another one, is refused by name and with what mends it, before the first byte; so is
    one inside a sequence of dicts."""
    make, words = CASES[case]
    data, name, feature = Counting(), "x", make()
    if where == "inside":
        data, name = Counting(lambda x: [{"v": x}, {"v": x}]), "x/v"
        feature = tfds.features.Sequence({"v": feature})
    loader = DataLoader(data, batch_size=2, collate_fn=list)
    error = str(refuses(loader, SchemaError, f"feature {name!r}: ", "__init__ takes, beside doc=None", features={"x": feature}))
    assert re.search(words, error), error
    assert data.asked <= 2 + 2 * 3 + 12  # the first batch, and what collate_fn is tried on


def test_a_class_that_is_mended(publish, read_back):
    """A class that does what the error says is exported and read."""
    found = read_back(publish(DataLoader(Counting(), batch_size=2), features={"x": Mended(3)}))
    texts = DataLoader([{"x": f"text {index}"} for index in range(4)], batch_size=2, collate_fn=list)
    assert publish(texts, features={"x": Note(optional=True)}).examples == {"train": 4}
    assert found["x"].tolist() == [[index, index + 1, index + 2] for index in range(ROWS)]
