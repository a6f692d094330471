"""Padding: told by a mask or by lengths it comes off, stored without a word it is a hazard, and the line that mends it works."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from exporters import SchemaError
from exporters.errors import HazardWarning
from exporters.wording import command_line

LENGTHS = [2, 9, 16, 7, 4, 11, 3, 18, 5, 1, 12, 6]
"""No two batches of four have the same longest row."""
MASKS = [torch.bool, torch.int64, torch.int32, torch.uint8, torch.float32, torch.bfloat16]


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


PADDING_ONLY = {"default": "ignore", "padding": "error"}


@pytest.fixture(name="publish")
def publish_quietly(publish):
    """`publish` that refuses padding, and no other hazard: the rows are short, and a few are alike."""
    return lambda *args, **options: publish(*args, **{"on_hazard": PADDING_ONLY, **options})


@pytest.fixture(name="refuses")
def refuses_quietly(refuses):
    return lambda *args, **options: refuses(*args, **{"on_hazard": "ignore", **options})


def rows_of(lengths):
    return [list(range(10 * number + 1, 10 * number + 1 + length)) for number, length in enumerate(lengths)]


def loader_of_rows(lengths=LENGTHS, batch_size=4, **options):
    return DataLoader(rows_of(lengths), batch_size=batch_size, collate_fn=Collator(**options))


def line_of(message):
    """The `unpad=` that a message says."""
    return dict(re.findall(r'"(\w+)": "(\w+)"', re.search(r"unpad=\{.*?\}", message)[0]))


def lists_of(column):
    return [column[row].tolist() for row in range(len(column))]


@pytest.mark.parametrize("kind", MASKS, ids=str)
@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
def test_a_mask_alone_will_do(kind, left, format, publish, read_back):
    """`unpad={"input_ids": "attention_mask"}`: ids and mask come back with the rows' own lengths, wherever the padding was."""
    result = publish(loader_of_rows(kind=kind, left=left), format, unpad={"input_ids": "attention_mask"})
    found = read_back(result)
    assert lists_of(found["input_ids"]) == rows_of(LENGTHS)
    assert lists_of(found["attention_mask"]) == [[1] * length for length in LENGTHS]
    torch_rows = tfds_builder.as_torch(result.path, "train")
    assert [torch_rows[i]["input_ids"].tolist() for i in range(len(LENGTHS))] == rows_of(LENGTHS)
    assert torch_rows[0]["attention_mask"].dtype == kind
    assert [len(torch_rows[i]["attention_mask"]) for i in range(len(LENGTHS))] == LENGTHS
    assert not [hazard for hazard in result.hazards if hazard.name == "padding"]


@pytest.mark.needs_tensorflow
def test_tfds_gives_rows_of_their_own_length(format, publish):
    """`tfds.load` gives each example the length it had before it was padded."""
    result = publish(
        loader_of_rows(labels=True), format, unpad=dict.fromkeys(["input_ids", "labels", "token_type_ids"], "attention_mask")
    )
    examples = tfds_builder.builder_from_directory(result.path).as_dataset(split="train").as_numpy_iterator()
    for example, row in zip(examples, rows_of(LENGTHS), strict=True):
        assert example["input_ids"].tolist() == row
        assert example["labels"].tolist() == [-100, *row[1:]]
        assert example["token_type_ids"].tolist() == [0] + [1] * (len(row) - 1)
        assert example["attention_mask"].tolist() == [1] * len(row)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any),
    batch_size=st.integers(1, 5),
    left=st.booleans(),
    kind=st.sampled_from(MASKS),
)
def test_any_lengths(lengths, batch_size, left, kind, publish, read_back):
    """Whatever lengths meet in a batch, empty rows among them, every row comes back as it was."""
    found = read_back(publish(loader_of_rows(lengths, batch_size, left=left, kind=kind), unpad={"input_ids": "attention_mask"}))
    assert lists_of(found["input_ids"]) == rows_of(lengths)
    assert [len(row) for row in lists_of(found["attention_mask"])] == lengths


def test_a_mask_of_one_width_stays(publish, read_back):
    """Rows that are all padded to one length, more than the longest has, keep their mask as it is."""
    found = read_back(publish(loader_of_rows(width=21), unpad={"input_ids": "attention_mask"}))
    assert lists_of(found["input_ids"]) == rows_of(LENGTHS)
    assert found["attention_mask"].shape == (len(LENGTHS), 21)


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


def test_a_mask_of_another_width_stays(publish, read_back):
    """A mask that has one width of its own, wider than the rows, tells their lengths and is stored as it is."""

    def collate(rows):
        return Collator(None)(rows) | {"mask": Collator(width=20)(rows)["attention_mask"]}

    found = read_back(publish(DataLoader(rows_of(LENGTHS), batch_size=4, collate_fn=collate), unpad={"input_ids": "mask"}))
    assert lists_of(found["input_ids"]) == rows_of(LENGTHS)
    assert found["mask"].shape == (len(LENGTHS), 20)
    assert found["mask"].sum(axis=1).tolist() == LENGTHS


def test_a_mask_declared_to_have_one_length_stays(publish, read_back):
    """What `features=` says of the mask comes first."""
    import tensorflow_datasets as tfds

    declared = {"attention_mask": tfds.features.Tensor(shape=(20,), dtype=np.int64, encoding="bytes")}
    found = read_back(publish(loader_of_rows(width=20), unpad={"input_ids": "attention_mask"}, features=declared))
    assert lists_of(found["input_ids"]) == rows_of(LENGTHS)
    assert found["attention_mask"].shape == (len(LENGTHS), 20)


def test_a_stopped_export_goes_on(goes_on, tmp_path):
    """An export of padded batches that is stopped goes on to the same bytes, masks unpadded by themselves."""

    class Switch:
        stops = False

    def collate(rows):
        if Switch.stops and rows[0][0] > 80:
            raise RuntimeError("stopped")
        return Collator()(rows)

    def run(data_dir):
        loader = DataLoader(rows_of(LENGTHS), batch_size=2, collate_fn=collate)
        options = {"name": "ds", "shard_bytes": 200, "progress": False, "on_hazard": "ignore"}
        return exporters.export(loader, data_dir, unpad={"input_ids": "attention_mask"}, **options)

    goes_on(run, Switch)


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


def any_length(*names):
    import tensorflow_datasets as tfds

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


class TwoColumns(Collator):
    """Ids and labels padded alike, and a third column that is not padded."""

    def __init__(self, *, ends=(), **options):
        super().__init__(**options)
        self.ends = ends

    def __call__(self, rows):
        rows = [[*row, *self.ends] for row in rows]
        batch = super().__call__(rows)
        zeros = torch.zeros(len(rows), 40, dtype=torch.int64)
        return batch | {"labels": self.pad(rows, 0 if self.ends else -100), "flags": zeros}


@pytest.mark.parametrize("width", [None, 16, 30])
@pytest.mark.parametrize("case", ["mask", "mask, left", "length", "length, pad is a value"])
def test_what_is_named_already_tells_of_the_others(case, width, publish, read_back):
    """Where `unpad=` names one of several columns that are padded alike, the line names the mask or the lengths it has already
    for the others, an error (each batch has its own width, or none is declared) or a hazard; and it works."""
    lengths = [15, 2, 9, 7, 4, 11, 3, 5, 5, 1, 12, 6]
    told = "length" if "length" in case else "attention_mask"
    options = {"kind": None, "told": True} if "length" in case else {"left": "left" in case}
    loader = lambda: DataLoader(  # noqa: E731
        rows_of(lengths), batch_size=4, collate_fn=TwoColumns(width=width, ends=(0,) if "value" in case else (), **options)
    )
    cases = [{}, {"features": {"labels": tfds.features.Tensor(shape=(None,), dtype=np.int64)}}]
    for more in cases:
        with pytest.raises((SchemaError, exporters.HazardError)) as caught:
            publish(loader(), unpad={"input_ids": told}, **more)
        assert line_of(str(caught.value)) == {"input_ids": told, "labels": told}
    found = read_back(publish(loader(), unpad=line_of(str(caught.value))))
    wanted = [[*row, 0] if "value" in case else row for row in rows_of(lengths)]
    assert lists_of(found["labels"]) == lists_of(found["input_ids"]) == wanted
    assert found["flags"].shape == (12, 40)
