"""Padding that is stored without a word is told, and what is none is not."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from padding_kit import LENGTHS, Collator, line_of, loader_of_rows, publish_quietly, refuses_quietly, rows_of  # noqa: F401 (fixtures)
from torch.utils.data import DataLoader

from exporters.errors import HazardWarning


def any_length(*names):

    return {name: tfds.features.Tensor(shape=(None,), dtype=np.int64, encoding="bytes") for name in names}


def padding_of(loader, publish, **options):
    """The message of the hazard `padding`; "" if it is not found."""
    only = {"default": "ignore", "padding": "warn"}
    with pytest.warns(HazardWarning) if options.pop("found", True) else contextlib.nullcontext():
        result = publish(loader, on_hazard=only, **options)
    return "".join(hazard.message for hazard in result.hazards)


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_declared_columns_keep_the_hazard_awake(left, publish):
    """Columns declared to have any length store the padding: that is said, with the real features and a line that ends it."""
    features = any_length("input_ids", "attention_mask")
    message = padding_of(loader_of_rows(left=left), publish, features=features)
    assert line_of(message) == {"input_ids": "attention_mask"}
    assert "'input_ids' is padded" in message
    assert not padding_of(loader_of_rows(left=left), publish, features=features, unpad=line_of(message), found=False)


def test_padding_that_shows_later(publish):
    """A first batch of rows of one length hides nothing: the padding of later ones is found, across batches of two too."""
    lengths = [8, 8, 8, 8, 2, 8, 7, 9, 3, 9, 5, 9]
    message = padding_of(loader_of_rows(lengths, 2, kind=None), publish, features=any_length("input_ids"))
    assert "'input_ids' ends in 0s" in message
    assert '{"input_ids": "length"}' in message


@pytest.mark.parametrize("case", ["ends differ", "lists", "unpadded", "zeros within", "a flag"])
def test_what_is_no_padding(case, publish):
    """Rows that came in their own lengths, zeros that are values, and what `unpad=` took off, are no padding."""
    rows = torch.tensor([[5, 1, 0, 0], [4, 0, 0, 0], [7, 0, 6, 5], [9, 8, 7, 0]])
    makes = {
        "ends differ": (lambda batch: {"x": torch.stack(batch)}, {}),
        "lists": (lambda batch: {"x": [row[: 3 + row[0] % 2] for row in batch]}, {}),
        "unpadded": (Collator(), {"unpad": {"input_ids": "attention_mask"}}),
        "zeros within": (lambda batch: {"x": torch.stack(batch) * torch.tensor([0, 1, 1, 1])}, {}),
        "a flag": (lambda batch: {"x": torch.stack(batch) + 1, "flag": torch.stack(batch) > 99}, {}),
    }
    collate, options = makes[case]
    data = rows_of(LENGTHS) if case == "unpadded" else list(rows)
    assert not padding_of(DataLoader(data, batch_size=4, collate_fn=collate), publish, found=False, **options)
