"""The cases of the grid about TFDS's `convert_format`."""

from __future__ import annotations

from typing import Any

from conformance_kit import Cases, Side, Unshown, in_order

CASES = Cases()

CONVERT = "tfds convert_format"


def _convert(side: Side, format: str, in_place: bool = False) -> Any:
    """Converts a copy of the export; its version directory."""
    import shutil

    from tensorflow_datasets.scripts.cli import convert_format_utils

    source, target = side.tmp / "from" / "rich" / "1.0.0", side.tmp / "to" / "rich" / "1.0.0"
    shutil.copytree(side.data_dir / "rich" / "1.0.0", source)
    convert_format_utils.convert_dataset(
        out_dir=None if in_place else target,
        out_file_format=format,
        dataset_version_dir=[source],
        num_workers=1,
        fail_on_error=False,  # TFDS 4.9.10 counts the shards of out_dir in another directory, and finds none of any dataset
    )
    return source if in_place else target


_FORMATS = {"to ArrayRecord, `as_data_source`": "array_record", "to Parquet, `as_data_source`": "parquet"}


@CASES.each(CONVERT, _FORMATS, needs=("apache_beam", "array_record", "pyarrow"), hdf5=False)
def converted(side: Side, format: str) -> Any:
    import consumer_kit as kit
    import tensorflow_datasets as tfds

    if side.is_stock:
        examples = list(tfds.as_numpy(side.read("rich")))
    else:
        source = tfds.builder_from_directory(_convert(side, format)).as_data_source("train")
        examples = [source[row] for row in range(len(source))]
    return [f"{len(examples)} examples", Unshown([kit.bits(_as_bytes(example)) for example in examples])]


def _as_bytes(example: Any) -> Any:
    """An example whose text is bytes, which `as_numpy` gives and a data source does not."""
    if isinstance(example, dict):
        return {key: _as_bytes(value) for key, value in example.items()}
    return example.encode() if isinstance(example, str) else example


@CASES.one(CONVERT, "to Parquet, `as_dataset`", needs=("apache_beam", "pyarrow"), hdf5=False)
def converted_dataset(side: Side) -> Any:
    import tensorflow_datasets as tfds

    if side.is_stock:
        return side.read("rich")
    return tfds.builder_from_directory(_convert(side, "parquet")).as_dataset(split="train", read_config=in_order())


@CASES.one(
    CONVERT, "into the same directory, then the TFRecord again", needs=("apache_beam", "array_record"), hdf5=False,
    differs=frozenset({"error"}), note="it rewrites `dataset_info.json`, which torch2tfds takes for damage; give `--out_dir`",
)  # fmt: skip
def converted_in_place(side: Side) -> Any:
    from dataclasses import replace

    directory = _convert(side, "array_record", in_place=True)
    return replace(side, data_dir=directory.parent.parent).read("rich")
