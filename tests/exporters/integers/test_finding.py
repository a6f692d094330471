"""Which integers floats were: known exactly, or asked for by a line that works; never guessed."""

import ast
import re

import numpy as np
import pytest
from integers_kit import MEAN, PIPELINES, STD, floats_of, pixels

from exporters import SchemaError
from exporters.batches.rows import Rows
from exporters.integers.conversion import Conversion
from exporters.integers.finding import agrees, find
from exporters.options.integers import Given, parse_integers

KNOWN = (((0.0,), (1.0,)), (MEAN, STD))
RULES = {
    "ToTensor": "x/255",
    "Normalize": "(x/255 - [0.485, 0.456, 0.406])/[0.229, 0.224, 0.225]",
    "x/127.5 - 1": "x/127.5 - 1",
    "2x - 1": "x/127.5 - 1",
    "times a reciprocal": "x/255",
    "in float64": "(x/255 - 0.1307)/0.3081",
    "mean only": "(x - [103.939, 116.779, 123.68])/[1, 1, 1]",
    "128": "(x - 127.5)/128",
    "x/256": "x/256",
    "turned round": "x/255",
}


def found(floats, given=None, known=(), axis=1):
    return find("image", floats, axis, given or Given(), known, "here")


def holds(table, floats, integers, axis=1):
    """Whether a table makes these integers of these floats."""
    return np.array_equal(Conversion(table, axis).to_integers(floats, "image", "here"), integers)


def with_gaps(images):
    """Images in which many of the integers do not appear, the lowest and the highest do, and so do neighbours."""
    return np.where((images > 90) & (images < 140), 7, images).astype(np.uint8)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines(name):
    """The lowest and the highest of a batch lie 255 steps apart: then all of its integers are known."""
    images = pixels()
    floats = floats_of(name, images)
    table = found(floats)
    assert holds(table, floats, images)
    assert name not in RULES or table.rule == RULES[name]


@pytest.mark.parametrize("name", [name for name in PIPELINES if name != "bfloat16"])
def test_floats_that_were_not_seen(name):
    """So are the floats of integers that the batch does not have, bit for bit: the order of computing was told by the others."""
    images = pixels()
    table = found(floats_of(name, with_gaps(images)))
    assert holds(table, floats_of(name, images), images)


@pytest.mark.parametrize("name", ["ToTensor", "Normalize", "float16", "bfloat16"])
def test_transforms_tell(name):
    """Of a batch that does not span all integers, the transforms of the dataset tell, where only one of them fits."""
    images = pixels(lowest=30, highest=200)
    table = found(floats_of(name, images), known=KNOWN)
    assert holds(table, floats_of(name, images), images)
    assert holds(table, floats_of(name, pixels()), pixels())


def test_two_transforms_that_fit():
    """Where two of them fit, and would make other integers of the floats, it is not guessed."""
    images = pixels(lowest=130, highest=200)
    floats = floats_of("x/127.5 - 1", images)
    known = (((0.0,), (1.0,)), ((0.5,), (0.5,)))
    with pytest.raises(SchemaError, match="it is not known"):
        found(floats, known=known)
    assert holds(found(floats, known=known[1:]), floats, images)


@pytest.mark.parametrize("name", [name for name in PIPELINES if name != "float64"])
def test_the_line_that_is_asked_for(name):
    """Where nothing tells, the line that the error offers works."""
    images = pixels(lowest=30, highest=200)
    floats = floats_of(name, images)
    with pytest.raises(SchemaError, match=r"the lowest and the highest lie .* steps apart") as caught:
        found(floats)
    line = re.search(r"integers=(\{.*\}), if", str(caught.value))[1]
    table = found(floats, parse_integers(ast.literal_eval(line))["image"])
    integers = Conversion(table, 1).to_integers(floats, "image", "here")
    assert Conversion(table, 1).to_floats(integers).tobytes() == floats.tobytes()


def test_few_values():
    """Floats that are 0 and 1 alone lie no 255 steps apart, whatever lies between them."""
    floats = (np.random.default_rng(1).integers(0, 2, (4, 1, 8, 8)) * np.float32(1)).astype(np.float32)
    with pytest.raises(SchemaError, match="it is not known"):
        found(floats)
    assert found(floats, parse_integers({"image": (0, 1)})["image"]).rule == "x/255"


def test_curves():
    """A batch that has all 256 floats of a channel shows the whole table, whatever curve they lie on."""
    curve = ((np.arange(256) / 255) ** 2.2).astype(np.float32)
    images = np.random.default_rng(1).integers(0, 256, (8, 3, 32, 32)).astype(np.uint8)
    images[0, :, :8] = np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert holds(found(curve[images]), curve[images], images)
    with pytest.raises(SchemaError, match="not evenly spaced"):
        found(curve[with_gaps(images)])


def test_two_floats_for_one_integer():
    """A value beside the one that nearly all others say it should be is named."""
    floats = floats_of("Normalize", with_gaps(pixels()))
    place = np.argwhere(floats[:, 1] == floats[3, 1, 4, 4])
    for row, *pixel in place:
        floats[row, 1][tuple(pixel)] = np.nextafter(floats[row, 1][tuple(pixel)], np.float32(9))
    with pytest.raises(SchemaError, match=r"here, row \d+, channel 1: value .* is near .* two floats for one integer"):
        found(floats)
    floats = floats_of("ToTensor", pixels())
    floats[2, 2, 3, 3] = np.nextafter(floats[2, 2, 3, 3], np.float32(9))
    with pytest.raises(
        SchemaError,
        match=r"here: the values \S+ \(row \d+, channel \d\) and \S+ \(row 2, channel 2\) would both be \d+: two floats",
    ):
        found(floats)


def test_what_is_refused():
    """NaN, -0.0 and infinity are refused by name and row; too many values, other numbers of channels and integers too."""
    for value, told in ((np.nan, "is NaN"), (-0.0, "is -0.0"), (np.inf, "is infinite")):
        floats = floats_of("ToTensor", pixels())
        floats[5, 2, 3, 3] = value
        with pytest.raises(SchemaError, match=f"here, channel 2, row 5: a value {told}"):
            found(floats)
    with pytest.raises(SchemaError, match=r"here, channel 0: more than 65,536 different values"):
        found(np.random.default_rng(1).random((8, 1, 128, 128), np.float32))
    rows = tuple(np.zeros((channels, 4, 4), np.float32) for channels in (1, 3))
    with pytest.raises(SchemaError, match="rows have 1 and 3 channels"):
        found(Rows(rows, rows[0].dtype))
    with pytest.raises(SchemaError, match="dtype uint8: only floats"):
        found(pixels())
    with pytest.raises(SchemaError, match="too coarse"):
        found(floats_of("ToTensor", pixels()).astype(np.float16) + np.float16(20), parse_integers({"image": (-20, 1)})["image"])


def test_sixteen_bits():
    """Floats of 16-bit integers are told from those of 8 bits, and so are 16 bits that are no more than 8."""
    images = pixels(8, highest=65535, shape=(1, 64, 64), dtype=np.uint16)
    table = found(images.astype(np.float32) / np.float32(65535))
    assert (table.rule, table.levels) == ("x/65535", 65536)
    assert holds(table, images.astype(np.float32) / np.float32(65535), images)
    few = pixels(8).astype(np.uint16) * 257
    assert found(few.astype(np.float32) / np.float32(65535)).levels == 256


def test_one_table_for_all_channels():
    """Channels that have the same floats share a table; a channel that alone spans them is enough then."""
    images = pixels()
    images[:, 1:] //= 2
    table = found(floats_of("ToTensor", images))
    assert table.channels == 1
    assert holds(table, floats_of("ToTensor", images), images)


def test_tables_that_agree():
    """A table that was found is kept where the caller says the same of it, or nothing; not where it is another one."""
    table = found(floats_of("Normalize", pixels()))
    assert agrees(table, Given())
    assert agrees(table, Given(scale=(MEAN, STD)))
    assert agrees(table, Given(floats=table.floats))
    assert not agrees(table, Given(scale=((0.5,), (0.5,))))
    assert not agrees(table, Given(floats=table.floats + np.float32(1)))
    unit = found(floats_of("ToTensor", pixels()))
    assert agrees(unit, Given(scale=((0.0,) * 3, (1.0,) * 3)))
    assert not agrees(unit, Given(scale=((1 / 255,), (1.0,))))


def test_what_few_values_do_not_tell():
    """Where a few values do not tell in which order the others are computed, it is the usual one: divided, in float32."""
    images = pixels(highest=3)
    for name, scale in (("ToTensor", ((0.0,), (1.0,))), ("Normalize", (MEAN, STD))):
        table = found(floats_of(name, images), Given(scale=scale))
        assert holds(table, floats_of(name, pixels()), pixels())
