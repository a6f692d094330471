"""Batches that are each padded to a longest row of their own: the error has the line that stores them without padding."""

from __future__ import annotations

import pytest
import torch
from padding_kit import LENGTHS, Collator, line_of, lists_of, loader_of_rows, publish_quietly, refuses_quietly, rows_of  # noqa: F401 (fixtures)
from torch.utils.data import DataLoader

from exporters import SchemaError
from exporters.wording import command_line


@pytest.mark.parametrize("multiple", [8, 64, 10])
def test_widths_that_are_rounded_up(multiple, publish, read_back, refuses):
    """`pad_to_multiple_of=8` pads beyond the longest row; of a multiple that nobody uses, the error has the line."""
    lengths = [2, 9, 16, 7, 4, 101, 3, 18, 5, 1, 42, 6]

    def collate(rows):
        return Collator(width=-(-max(map(len, rows)) // multiple) * multiple)(rows)

    loader, unpad = DataLoader(rows_of(lengths), batch_size=4, collate_fn=collate), {"input_ids": "attention_mask"}
    if multiple == 10:
        unpad = line_of(str(refuses(loader, SchemaError, "'attention_mask'", "longest row", unpad=unpad)))
    found = read_back(publish(loader, unpad=unpad))
    assert lists_of(found["input_ids"]) == rows_of(lengths)
    assert lists_of(found["attention_mask"]) == [[1] * length for length in lengths]


MOVED = {
    "mask": ({}, {"input_ids": "attention_mask"}),
    "bool mask": ({"kind": torch.bool}, {"input_ids": "attention_mask"}),
    "left": ({"left": True}, {"input_ids": "attention_mask"}),
    "labels too": ({"labels": True}, dict.fromkeys(["input_ids", "labels", "token_type_ids"], "attention_mask")),
    "lengths": ({"kind": None, "told": True}, {"input_ids": "length"}),
    "one row a batch": ({"batch_size": 1}, {"input_ids": "attention_mask"}),
}


@pytest.mark.parametrize("case", MOVED)
def test_the_line_of_the_error_works(case, publish, refuses, read_back):
    """A batch of another width is refused with the real features and an `unpad=`; that line, followed, exports every row."""
    options, expected = MOVED[case]
    error = refuses(loader_of_rows(**options), SchemaError, "split 'train', batch 1", "expected shape ('N', ", "longest row")
    assert line_of(str(error)) == expected
    assert "tfds.features" not in str(error)
    found = read_back(publish(loader_of_rows(**options), unpad=line_of(str(error))))
    assert lists_of(found["input_ids"]) == rows_of(LENGTHS)


def test_the_line_keeps_what_was_said(refuses):
    """Where `unpad=` names some features already, the line has those and the ones that are missing."""
    error = refuses(loader_of_rows(labels=True), SchemaError, unpad={"input_ids": "attention_mask"})
    assert line_of(str(error)) == dict.fromkeys(["input_ids", "labels", "token_type_ids"], "attention_mask")


def test_two_masks(publish, refuses, read_back):
    """Inputs and targets of different lengths, each with a mask: one line names both."""

    def collate(rows):
        targets = Collator(width=None)([row[: 1 + len(row) // 2] for row in rows])
        return Collator()(rows) | {f"decoder_{name}": value for name, value in targets.items()}

    loader = DataLoader(rows_of(LENGTHS), batch_size=4, collate_fn=collate)
    error = refuses(loader, SchemaError, "longest row")
    assert line_of(str(error)) == {"input_ids": "attention_mask", "decoder_input_ids": "decoder_attention_mask"}
    found = read_back(publish(loader, unpad=line_of(str(error))))
    assert lists_of(found["decoder_input_ids"]) == [row[: 1 + len(row) // 2] for row in rows_of(LENGTHS)]


def test_the_command_line_is_told_its_own_option(refuses):
    """On the command line the same error says `--unpad`."""
    with command_line():
        refuses(loader_of_rows(), SchemaError, "--unpad input_ids=attention_mask")


def test_nothing_tells_the_lengths(publish, refuses, read_back):
    """Without a mask or lengths the error says how to add lengths; with them, and the `unpad=` it says, every row comes back."""
    options = {"kind": None, "labels": True}
    error = refuses(loader_of_rows(**options), SchemaError, "declare what varies", "collate_fn", "torch.tensor([len(row)")
    line = line_of(str(error).replace('{"length": torch', ""))
    assert line == dict.fromkeys(["input_ids", "labels", "token_type_ids"], "length")
    found = read_back(publish(loader_of_rows(**options, told=True), unpad=line))
    assert lists_of(found["input_ids"]) == rows_of(LENGTHS)
