"""Every value is checked by its bits: what is converted comes back, and what is in no table is refused by name."""

import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integers_kit import MEAN, PIPELINES, STD, floats_of, pixels

from exporters import SchemaError
from exporters.batches.flatten import Batch
from exporters.batches.rows import Rows
from exporters.integers.conversion import Conversion, convert
from exporters.integers.finding import find
from exporters.options.integers import Given
from tfds_builder.contract.integers import Integers

DTYPES = ("float16", "bfloat16", "float32", "float64")


def table_of(dtype="float32", channels=3, levels=256):
    """`(x/255 - mean)/std`, for one channel or three."""
    unit = np.arange(levels) / (levels - 1)
    rows = [(unit - mean) / std for mean, std in zip(MEAN, STD, strict=True)]
    return Integers.of("image", "a rule", np.stack(rows[:channels]).astype(np.dtype(dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 50, 70), (700, 3, 4, 5), (1, 3, 300, 400), (0, 3, 4, 4)])
def test_every_float_comes_back(dtype, shape):
    """Floats of a table become its integers, in blocks of whatever size, and these the floats again."""
    conversion = Conversion(table_of(dtype), 1)
    integers = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    floats = conversion.to_floats(integers)
    assert floats.dtype == dtype
    found = conversion.to_integers(floats, "image", "here")
    assert np.array_equal(found, integers)
    assert found.dtype == np.uint8


IN_MEMORY = {
    "channels last": lambda floats: (np.ascontiguousarray(floats.transpose(0, 2, 3, 1)), 3),
    "channels last in memory alone": lambda floats: (np.ascontiguousarray(floats.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), 1),
    "rows turned round": lambda floats: (floats[:, :, ::-1], 1),
    "every second one": lambda floats: (floats[:, :, ::2, 1::2], 1),
    "one row again and again": lambda floats: (np.broadcast_to(floats[:1].transpose(0, 2, 3, 1), (5, *floats.shape[2:], 3)), 3),
    "one pixel again and again": lambda floats: (
        np.broadcast_to(floats[:, None, None, :, 0, 0], (*floats.shape[:1], 4, 5, 3)),
        3,
    ),
    "one column": lambda floats: (floats[..., :1].transpose(0, 2, 3, 1), 3),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", IN_MEMORY)
def test_however_they_lie_in_memory(way, dtype):
    """Each value is that of its own channel, wherever its neighbours lie; so is the one that is wrong."""
    conversion = Conversion(table_of(dtype), 1)
    integers = np.random.default_rng(1).integers(0, 256, (40, 3, 30, 50)).astype(np.uint8)
    floats, axis = IN_MEMORY[way](conversion.to_floats(integers))
    expected, _ = IN_MEMORY[way](integers)
    assert np.array_equal(Conversion(conversion.table, axis).to_integers(floats, "image", "here"), expected)
    wrong = np.array(floats)
    place = [min(at, size - 1) for at, size in zip((3, 2, 3, 0), wrong.shape, strict=True)]
    place[axis] = 1
    wrong[tuple(place)] = 99
    with pytest.raises(SchemaError, match="here, feature 'image', row 3, channel 1, value 99"):
        Conversion(conversion.table, axis).to_integers(wrong, "image", "here")


def test_another_number_of_channels():
    """A batch of other channels, or of other axes, is left to the feature, which says what shape it should have."""
    conversion = Conversion(table_of(), 1)
    for shape in ((2, 1, 4, 4), (2, 4, 4, 4), (2,)):
        assert conversion.to_integers(np.zeros(shape, np.float32), "image", "here").shape == shape


@pytest.mark.parametrize("levels", [256, 65536])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_entry_and_its_neighbours(levels, dtype):
    """Of all floats next to each of a table's entries, on both sides, not one is taken for it."""
    table = table_of(dtype, 1, levels)
    entries = table.floats[0]
    conversion = Conversion(table, None)
    assert np.array_equal(conversion.to_integers(entries[None], "image", "here")[0], np.arange(levels))
    (channel,) = conversion._converters
    for steps in (1, 2, 3):
        for towards in (-9, 9):
            near = entries
            for _ in range(steps):
                near = np.nextafter(near, near.dtype.type(towards))
            assert channel.find_wrong(near, np.empty(levels, channel._stored)).all()


@given(st.integers(0, 2**32 - 1))
def test_any_bits(bits):
    """Of any 32 bits, those of a table's entry are converted, and all others refused."""
    table = table_of(channels=1)
    value = np.array([bits], np.uint32).view(np.float32)
    is_there = bits in set(table.floats.view(np.uint32).ravel().tolist())
    try:
        found = Conversion(table, None).to_integers(value, "image", "here")
    except SchemaError:
        assert not is_there
    else:
        assert is_there
        assert table.floats[0, found[0]].view(np.uint32) == bits


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_all_bits_of_sixteen(dtype):
    """Of all floats of 16 bits, exactly those of the table are converted."""
    table = table_of(dtype, 1)
    every = np.arange(2**16, dtype=np.uint16).view(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    (channel,) = Conversion(table, None)._converters
    out = np.empty(2**16, np.uint8)
    wrong = channel.find_wrong(every, out)
    assert set(np.flatnonzero(~wrong).tolist()) == set(table.floats.view(np.uint16).ravel().tolist())
    assert sorted(out[~wrong].tolist()) == list(range(256))


def test_uneven_tables():
    """Floats that no line goes through are found as well."""
    floats = ((np.arange(256) / 255) ** 2.2).astype(np.float32)
    conversion = Conversion(Integers.of("image", "a curve", floats[None]), None)
    integers = np.random.default_rng(1).integers(0, 256, (5, 40, 50)).astype(np.uint8)
    assert np.array_equal(conversion.to_integers(floats[integers], "image", "here"), integers)
    wrong = floats[integers]
    wrong[4, 3, 3] += np.float32(1e-3)
    with pytest.raises(SchemaError, match=r"row 4, value"):
        conversion.to_integers(wrong, "image", "here")


WRONG = {
    "near": (
        np.nextafter(np.float32(77 / 255), np.float32(9)),
        "is near 0.301960796, the float of 77: two floats for one integer",
    ),
    "between": (77.5 / 255, "is not in the table; the nearest is"),
    "above": (256 / 255, "1.00392163, which is not in the table; the nearest is 1, the float of 255"),
    "below": (-1 / 255, "-0.00392156886, which is not in the table; the nearest is 0, the float of 0"),
    "huge": (3e38, "not in the table"),
    "NaN": (np.nan, "NaN, which is no integer"),
    "infinite": (-np.inf, "not in the table"),
    "-0.0": (-0.0, "-0.0, which is no integer; it would come back as 0.0"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_first_wrong_value_is_named(wrong):
    """With row, channel where there are several tables, and what is wrong with it; the first by row."""
    value, told = WRONG[wrong]
    images = floats_of("ToTensor", pixels())
    images[9, 0, 1, 1], images[7, 2, 5, 6] = 0.3333, value
    with pytest.raises(SchemaError, match=re.escape(told)) as caught:
        Conversion(find("image", floats_of("ToTensor", pixels()), 1, Given(), (), "here"), 1).to_integers(images, "image", "here")
    assert str(caught.value).startswith("here, feature 'image', row 7, channel 2, value ")
    normal = floats_of("Normalize", pixels())
    conversion = Conversion(find("image", normal, 1, Given(), (), "here"), 1)
    normal[7, 2, 5, 6] = np.nan
    with pytest.raises(SchemaError, match="here, feature 'image', row 7, channel 2, value NaN"):
        conversion.to_integers(normal, "image", "here")


def test_another_dtype_is_refused():
    """The same numbers in another dtype are other bits."""
    with pytest.raises(SchemaError, match="expected dtype float32, got float64"):
        Conversion(table_of(), 1).to_integers(np.zeros((1, 3, 2, 2)), "image", "here")


def test_rows_of_many_sizes():
    """Rows that lie end to end and rows that do not, channels first or last; a wrong one is named by its row."""
    table = table_of()
    first, last = Conversion(table, 1), Conversion(table, 3)
    integers = [np.random.default_rng(row).integers(0, 256, (3, 4 + row, 5)).astype(np.uint8) for row in range(3)]
    floats = tuple(table.restore(row, 0) for row in integers)
    found = first.to_integers(Rows(floats, floats[0].dtype), "image", "here")
    assert all(np.array_equal(one, other) for one, other in zip(found.arrays, integers, strict=True))
    joined = np.concatenate([row.transpose(1, 2, 0) for row in floats])
    found = last.to_integers(Rows.of_items(joined, [4, 5, 6]), "image", "here")
    assert all(np.array_equal(one, other.transpose(1, 2, 0)) for one, other in zip(found.arrays, integers, strict=True))
    floats[2][1, 1, 1] = 99
    with pytest.raises(SchemaError, match="row 2, channel 1, value 99"):
        first.to_integers(Rows(floats, floats[0].dtype), "image", "here")


def test_what_a_worker_has_converted():
    """Integers by the same table stay as they are; those by another one become floats, and integers again, or are refused."""
    ours = Conversion(table_of(channels=1), None)
    integers = np.arange(256, dtype=np.uint8)[None]
    shifted = Integers.of("image", "a rule", np.concatenate([ours.table.floats[:, 1:], [[np.float32(9)]]], axis=1))
    names = {"0": "image"}
    same = convert(Batch({"0": integers}, 1, 0, integers={"0": ours.table}), {"0": ours}, names, "here")
    assert same.columns["0"] is integers
    other = convert(Batch({"0": integers[:, :-1]}, 1, 0, integers={"0": shifted}), {"0": ours}, names, "here")
    assert np.array_equal(other.columns["0"][0], np.arange(1, 256))
    with pytest.raises(SchemaError, match="value 9"):
        convert(Batch({"0": integers}, 1, 0, integers={"0": shifted}), {"0": ours}, names, "here")


def test_pipelines_have_other_bits():
    """The pipelines that the tests try do not all have the same last bits: they are different orders of computing."""
    images = pixels()
    assert len({floats_of(name, images).tobytes() for name in PIPELINES}) > len(PIPELINES) - 2
