"""What tests of padding share: rows of many lengths, a collate_fn that pads them in every usual way, and what comes back."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.data import DataLoader

LENGTHS = [2, 9, 16, 7, 4, 11, 3, 18, 5, 1, 12, 6]
"""No two batches of four have the same longest row."""


class Collator:
    """What the collators of Hugging Face do: every row is padded to the longest one of its batch.

    Args:
      kind: dtype of the mask; None leaves it out.
      left: padding comes before the values.
      told: add the lengths.
      labels: add labels padded with -100 and types padded with 0.
      width: pad to that, if it is given.
    """

    def __init__(self, kind=torch.int64, *, left=False, told=False, labels=False, width=None):
        self.kind, self.left, self.told, self.labels, self.width = kind, left, told, labels, width

    def pad(self, rows, value, dtype=torch.int64):
        longest = self.width or max(map(len, rows))
        out = torch.full((len(rows), longest), value, dtype=dtype)
        for place, row in zip(out, rows, strict=True):
            place[longest - len(row) if self.left else 0 :][: len(row)] = torch.as_tensor(row, dtype=dtype)
        return out

    def __call__(self, rows):
        batch = {"input_ids": self.pad(rows, 0)}
        if self.kind is not None:
            batch["attention_mask"] = self.pad([[1] * len(row) for row in rows], 0, self.kind)
        if self.told:
            batch["length"] = torch.tensor([len(row) for row in rows])
        if self.labels:
            batch["labels"] = self.pad([[-100, *row[1:]] for row in rows], -100)
            batch["token_type_ids"] = self.pad([[0] + [1] * (len(row) - 1) for row in rows], 0)
        return batch


def rows_of(lengths):
    return [list(range(10 * number + 1, 10 * number + 1 + length)) for number, length in enumerate(lengths)]


def loader_of_rows(lengths=LENGTHS, batch_size=4, **options):
    return DataLoader(rows_of(lengths), batch_size=batch_size, collate_fn=Collator(**options))


def line_of(message):
    """The `unpad=` that a message says."""
    return dict(re.findall(r'"(\w+)": "(\w+)"', re.search(r"unpad=\{.*?\}", message)[0]))


def lists_of(column):
    return [column[row].tolist() for row in range(len(column))]


PADDING_ONLY = {"default": "ignore", "padding": "error"}


@pytest.fixture(name="publish")
def publish_quietly(publish):
    """`publish` that refuses padding, and no other hazard: the rows are short, and a few are alike."""
    return lambda *args, **options: publish(*args, **{"on_hazard": PADDING_ONLY, **options})


@pytest.fixture(name="refuses")
def refuses_quietly(refuses):
    return lambda *args, **options: refuses(*args, **{"on_hazard": "ignore", **options})
