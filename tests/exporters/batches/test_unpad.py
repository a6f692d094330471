"""Padding: told by a mask or by lengths it comes off, stored without a word it is a hazard, and the line that mends it works."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from padding_kit import LENGTHS, Collator, line_of, lists_of, loader_of_rows, publish_quietly, refuses_quietly, rows_of  # noqa: F401 (fixtures)
from torch.utils.data import DataLoader

import exporters
import tfds_builder
from exporters import SchemaError

MASKS = [torch.bool, torch.int64, torch.int32, torch.uint8, torch.float32, torch.bfloat16]


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
