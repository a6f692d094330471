"""Large rows are read by ways of their own; what they give is what every other row gives."""

import consumer_kit as kit
import numpy as np
import pytest

import tfds_builder
from tfds_builder.readers import tf_data as reading
from tfds_builder.table import mapped_files as mapping
from tfds_builder.table import ragged_columns as variable
from tfds_builder.table import single_rows as rows
from tfds_builder.table import table

pytestmark = pytest.mark.once

tf = pytest.importorskip("tensorflow")


def plain(value):
    """A batch or an example as something that compares bit for bit."""
    if isinstance(value, tf.RaggedTensor):
        return [plain(row) for row in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return kit.bits(value.numpy() if hasattr(value, "numpy") else value)


def read_all(directory):
    """Every example of every split, by every reader."""
    builder, found = tfds_builder.builder_from_directory(directory), {}
    config = tfds_builder.ReadConfig(add_tfds_id=True, try_autocache=False)
    for split in builder.info.splits:
        found[split, "examples"] = [plain(example) for example in builder.as_dataset(split=split, read_config=config)]
        found[split, "batches"] = [plain(batch) for batch in builder.as_dataset(split=split, read_config=config, batch_size=3)]
        shuffled = builder.as_dataset(split=split, shuffle_files=True)
        found[split, "shuffled"] = sorted(str(plain(example)) for example in shuffled)
        source = builder.as_data_source(split)
        found[split, "source"] = [str(example) for example in source]
        found[split, "at random"] = [str(source[row]) for row in range(len(source) - 1, -1, -1)]
        found[split, "verified"] = [str(example) for example in builder.as_data_source(split, verify=True)]
        found[split, "columns"] = {
            name: kit.bits(np.asarray(getattr(column, "values", column)))
            for name, column in table.Table.of_split(directory, split).read(np.arange(len(source))[::-1]).items()
        }
    return found


@kit.every_golden
def test_large_rows_are_read_as_others_are(name, golden, monkeypatch):
    """If a row of one byte were large, every reader would give the same: examples, batches, ids, strings and all."""
    directory = golden / name / "1.0.0"
    wanted = read_all(directory)
    for module in (reading, mapping, rows, table, variable):
        monkeypatch.setattr(module, "LARGE_BYTES", 1)
    got = read_all(directory)
    for key in wanted:
        assert got[key] == wanted[key], key
