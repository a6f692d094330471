"""What differs between the plan of a stopped export and another is said in words, each thing once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from exporters import wording
from exporters.plans.differences import differences
from exporters.plans.plan import Plan
from tfds_builder.features.feature_json import features_to_json

_F = tfds.features


def plan_of(features, **fields):
    """A plan of these features whose other fields are as an export would fill them."""
    columns = tuple({"name": name, "source_dtype": "uint8", "source_layout": ""} for name in features)
    source = {"kind": "range", "examples": 100, "batch_size": 10, "drop_last": False, "batched": True, "sampler": "S"}
    known = {
        "name": "ds", "version": "1.0.0", "format": "tfrecord", "shard_bytes": 10485, "splits": ("train",),
        "features": features_to_json(_F.FeaturesDict(features)), "columns": columns, "labels": {},
        "supervised_keys": tuple(features)[:2], "card": {"license": ""}, "decisions": tuple(f"{name}: x" for name in features),
        "sources": {"train": source}, "producer": "torch2tfds 0",
    }  # fmt: skip
    return Plan(**{**known, **fields})


def tensor(*shape, dtype=np.uint8, encoding="bytes"):
    return _F.Tensor(shape=shape, dtype=dtype, encoding=encoding)


BEFORE = plan_of({"image": tensor(32, 32, 3), "label": _F.ClassLabel(num_classes=2)}, labels={"label": ["a", "b"]})
SOURCE = BEFORE.sources["train"]


def changed(**fields):
    return dataclasses.replace(BEFORE, **fields)


OTHERS = {
    "the size of shards": (changed(shard_bytes=20971), ["shard_bytes: 10485, now 20971"], ["--shard-mib: 0.01, now 0.02"]),
    "the format, and the columns it brings": (
        changed(format="hdf5", columns=tuple({**column, "encoding": "raw"} for column in BEFORE.columns)),
        ["format: tfrecord, now hdf5"], ["--format: tfrecord, now hdf5"],
    ),
    "the card": (changed(card={"license": "CC0"}), ["card license: none, now CC0"], ["--license: none, now CC0"]),
    "release notes": (
        changed(release_notes={"1.0.0": "first"}),
        ["release_notes of 1.0.0: none, now first"], ["--release-notes of 1.0.0: none, now first"],
    ),
    "a loader": (
        changed(sources={"train": {**SOURCE, "batch_size": 20, "kind": "stream"}}),
        ["loader of split 'train': batch_size 10, now 20"], None,
    ),
    "a loader that has no indices any more": (
        changed(sources={"train": {**SOURCE, "kind": "stream"}}),
        ["loader of split 'train': kind indices in order, now a stream"], None,
    ),
    "another split, whose loader is not repeated": (
        changed(splits=("train", "test"), sources={"train": SOURCE, "test": SOURCE}), ["splits: train, now train, test"], None,
    ),
    "a shape, and what was decided about it": (
        plan_of({"image": tensor(64, 64, 3), "label": _F.ClassLabel(num_classes=2)}, labels={"label": ["a", "b"]},
                decisions=("image: y", "label: x")),
        ["feature 'image': Tensor uint8 (32, 32, 3), now Tensor uint8 (64, 64, 3)"], None,
    ),
    "a name, and the keys that follow it": (
        plan_of({"picture": tensor(32, 32, 3), "label": _F.ClassLabel(num_classes=2)}, labels={"label": ["a", "b"]}),
        ["feature 'image': Tensor uint8 (32, 32, 3), now none", "feature 'picture': none, now Tensor uint8 (32, 32, 3)"], None,
    ),
    "an encoding, which a feature's short form does not tell": (
        plan_of({"image": tensor(32, 32, 3, encoding="zlib"), "label": _F.ClassLabel(num_classes=2)},
                labels={"label": ["a", "b"]}),
        ["feature 'image': Tensor uint8 (32, 32, 3), tensor.encoding bytes, now zlib"], None,
    ),
    "a class name": (changed(labels={"label": ["a", "c"]}), ["feature 'label': class 1 'b', now 'c'"], None),
    "a sequence": (
        plan_of({"image": _F.Sequence(_F.ClassLabel(num_classes=3)), "label": _F.ClassLabel(num_classes=2)},
                labels={"label": ["a", "b"]}),
        ["feature 'image': Tensor uint8 (32, 32, 3), now Sequence of ClassLabel of 3 classes"], None,
    ),
    "the layout of the loader": (
        changed(columns=({**BEFORE.columns[0], "source_layout": "NCHW"}, BEFORE.columns[1]), decisions=("image: z",)),
        ["feature 'image': layout of the loader none, now NCHW"], None,
    ),
    "the keys": (
        changed(supervised_keys=("label", "image")),
        ["supervised_keys: image, label, now label, image"], ["--supervised: image, label, now label, image"],
    ),
    "a decision and nothing else": (
        changed(decisions=("image: x", "label: y")), ["decided: label: x, now label: y"], None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_differences(what):
    """Each kind of difference is told by what the caller gave, and what merely follows from it is not repeated."""
    other, in_python, on_command_line = OTHERS[what]
    assert differences(BEFORE, other) == in_python
    with wording.command_line():
        assert differences(BEFORE, other) == (on_command_line or in_python)


FIELDS = {
    "shard_bytes": st.integers(1, 10), "splits": st.tuples(st.sampled_from("ab")), "columns": st.just(()),
    "labels": st.just({"x": ["a"]}), "supervised_keys": st.none(), "decisions": st.just(("image: q",)),
    "sources": st.just({"train": {**SOURCE, "sampler": "T"}}), "producer": st.just("torch2tfds 1"),
    "config_name": st.just("c"), "config_description": st.just("d"), "row_lists": st.just(("1",)), "sequences": st.just(("1",)),
    "features": st.just(features_to_json(_F.FeaturesDict({"image": tensor(1)}))),
}  # fmt: skip


@given(fields=st.fixed_dictionaries({}, optional=FIELDS))
def test_no_difference_is_lost(fields):
    """Two plans are told to differ just when they do, whatever differs, and in lines that are short and no JSON."""
    other = changed(**fields)
    told = differences(BEFORE, other)
    assert bool(told) == (other.to_json() != BEFORE.to_json())
    assert [line for line in told if len(line) > 250 or '{"' in line] == []
    assert differences(BEFORE, BEFORE) == []
