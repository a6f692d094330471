"""What the DataLoader gave, made again of what is stored: dtypes, layouts, lists and strings."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.contract.manifest import RAW, STRINGS, Column
from tfds_builder.errors import ManifestError
from tfds_builder.readers.source_values import Place, check_sources

F = tfds.features


def column(dtype="int32", shape=(), **changes):
    encoding, width = (STRINGS, 0) if dtype == "string" else (RAW, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return Column(**{"name": "x", "dtype": dtype, "shape": shape, "encoding": encoding, "width": width, **changes})


def test_layout_and_dtype():
    """Channels come first again, and the dtype is that of the loader."""
    feature = F.Tensor(shape=(4, 5, 3), dtype=np.uint8)
    place = Place.of("x", feature, [column("uint8", (4, 5, 3), source_layout="NCHW", source_dtype="int64")])
    stored = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    given = place.restore(stored)
    assert given.dtype == np.int64
    np.testing.assert_array_equal(given, np.moveaxis(stored, -1, 0))
    assert given.flags.writeable


@pytest.mark.parametrize(("source", "given"), [("str", "\xe9"), ("bytes", b"\xc3\xa9"), ("", "\xe9")])
def test_strings(source, given):
    """Text is str or bytes as the loader gave it; where the manifest does not say, Text is str."""
    assert Place.of("x", F.Text(), [column("string", source_dtype=source)]).restore(b"\xc3\xa9") == given


@pytest.mark.parametrize("changes", [{"source_dtype": "str"}, {"source_dtype": "float3"}, {"source_layout": "CHW"}])
def test_sources_that_make_no_sense(changes):
    """A source that cannot have been is the manifest's error, with the column."""
    with pytest.raises(ManifestError, match="column 'x'"):
        check_sources([column(**changes)])
