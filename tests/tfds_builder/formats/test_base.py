"""`tfds_builder.formats`: what the object of a format says of it is what TFDS makes of it, and a shard has the index it needs."""

import consumer_kit as kit
import pytest
from tensorflow_datasets.core import file_adapters, naming

from tfds_builder import formats
from tfds_builder.contract.manifest import RAW, STRINGS, Column, File, Shard
from tfds_builder.errors import ManifestError

FIXED = Column(name="x", dtype="uint8", shape=(3,), encoding=RAW, width=3)
TEXT = Column(name="t", dtype="string", shape=(2,), encoding=STRINGS, width=0)


@pytest.mark.parametrize("name", formats.NAMES)
def test_names_are_those_tfds_makes(name):
    """A template expands to what TFDS makes of it, of a hundred thousand shards and more too."""
    stored = formats.find(name)
    for number, count in ((0, 1), (6, 7), (99_999, 100_000), (123, 1_234_567)):
        names = {stored.template: stored.file_name("digits", "train", number, count)}
        if stored.index_template is not None:
            names[stored.index_template] = stored.index_name("digits", "train", number, count)
        for template, found in names.items():
            of_tfds = naming.ShardedFileTemplate("", template, "digits", "train", stored.tfds_name)
            assert found == of_tfds.relative_filepath(shard_index=number, num_shards=count)


@pytest.mark.parametrize("name", formats.NAMES)
def test_what_stock_tfds_reads(name):
    """A format that stock TFDS reads has the name and the template that TFDS has for it; TFDS knows no other of ours."""
    stored = formats.find(name)
    known = {format.value for format in file_adapters.FileFormat}
    assert stored.tfds_name == (name if name in known else None)
    assert (stored.template == naming.DEFAULT_FILENAME_TEMPLATE) == (stored.tfds_name is not None)
    assert stored.has_records == (stored.tfds_name is not None)


def test_no_such_format():
    """A name that is no format is refused before a module of that name is looked for."""
    for name in ("base", "extent", "os", "", None):
        with pytest.raises(KeyError):
            formats.find(name)


@kit.both_formats
def test_an_index_where_one_is_needed(format):
    """A shard has an index of the right size if its format needs one, and none otherwise."""
    stored, data = formats.find(format), File(file="x", bytes=100, sha256="0" * 64)
    for columns in ([FIXED], [FIXED, TEXT]):
        for size in (None, 8 * 4 * (1 + 2 * 2), 8):
            index = None if size is None else File(file="i", bytes=size, sha256="0" * 64)
            is_right = (size == 160) if stored.needs_index(columns) else size is None
            shard = Shard(data=data, rows=4, geometry=0, index=index)
            if is_right:
                stored.check_index(columns, shard, "manifest.json")
            else:
                with pytest.raises(ManifestError, match=r"index|must be 160 bytes"):
                    stored.check_index(columns, shard, "manifest.json")
    assert stored.needs_index([FIXED, TEXT]) == (stored.index_template is not None)
    assert not stored.needs_index([FIXED])
