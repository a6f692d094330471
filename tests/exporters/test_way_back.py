"""`as_torch` gives what the loader's dataset gave, at any depth: str, bytes, None, one array or a list of arrays, files."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import tfds_builder
from exporters.errors import SchemaError

pytest.importorskip("tensorflow")

F = tfds.features
BYTES = F.Tensor(shape=(), dtype=np.object_)


def publish_rows(publish, rows, feature, format, **options):
    """The version directory of rows of one feature, `x`."""
    loader = DataLoader([{"x": row} for row in rows], batch_size=options.pop("batch_size", len(rows)), collate_fn=list)
    return publish(loader, format, features={"x": feature}, on_hazard="ignore", **options).path


def both_ways(path):
    """The values that `as_torch` gives one by one, which those of a batch must equal."""
    dataset = tfds_builder.as_torch(path)
    alone = [dataset[number]["x"] for number in range(len(dataset))]
    assert exact(alone) == exact([example["x"] for example in dataset.__getitems__(range(len(dataset)))])
    return alone


def exact(value):
    """A value with everything that is to be the same: types, dtypes, shapes and values."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.tolist()
    return type(value), value


def file(number, kind="PNG"):
    """The bytes of an image."""
    made = io.BytesIO()
    PIL.Image.fromarray(np.full((4, 5, 3), number, np.uint8)).save(made, kind)
    return made.getvalue()


def image(number, frames=None):
    return torch.full((3, 4, 5) if frames is None else (frames, 3, 4, 5), number, dtype=torch.uint8)


CASES = {
    "optional str": (["a", None], F.Scalar(dtype=np.object_, optional=True)),
    "optional str that begins with None": ([None, "a"], F.Scalar(dtype=np.object_, optional=True)),
    "optional bytes": ([b"a\xff", None], F.Scalar(dtype=np.object_, optional=True)),
    "optional text as bytes": ([b"a", None], F.Text(optional=True)),
    "optional vector": ([torch.tensor([1.0, 2.0]), None], F.Tensor(shape=(2,), dtype=np.float32, optional=True)),
    "str in sequences": ([[["a"], []], [["b", "c"]]], F.Sequence(F.Sequence(np.str_))),
    "bytes in sequences of text": ([[[b"a"], []], [[b"b", b"c"]]], F.Sequence(F.Sequence(F.Text()))),
    "str and bytes in a dict": ([{"t": ["a"], "b": [b"x"]}] * 2, F.Sequence({"t": np.str_, "b": BYTES})),
    "empty lists first": ([[[]], [["a"]]], F.Sequence(F.Sequence(F.Text()))),
    "a video of any length": ([image(1, 2), image(2, 3)], F.Video(shape=(None, 4, 5, 3))),
    "a video of files": ([[file(1), file(2)], [file(3)]], F.Video(shape=(None, 4, 5, 3))),
    "files in a sequence": ([[file(1), file(2)], [file(3)]], F.Sequence(F.Image(shape=(4, 5, 3)))),
    "JPEG files of any size": ([[file(1, "JPEG")], []], F.Sequence(F.Image(shape=(None, None, 3)))),
    "files in a dict": ([{"i": [file(1), file(2)]}, {"i": []}], F.Sequence({"i": F.Image(shape=(4, 5, 3))})),
    "one array of images": ([image(1, 2), image(2, 2)], F.Sequence(F.Image(shape=(4, 5, 3)))),
    "a list of images": ([[image(1), image(2)], [image(3)]], F.Sequence(F.Image(shape=(4, 5, 3)))),
    "one array of two sequences": ([torch.arange(6).reshape(2, 3)] * 2, F.Sequence(F.Sequence(np.int64))),
    "text of a dataset": ([["a", "b"], ["c"]], F.Dataset(F.Text())),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_given_comes_back(case, format, publish):
    """Each value comes back as it was given: its type, its dtype, as one tensor or as a list."""
    rows, feature = CASES[case]
    assert exact(both_ways(publish_rows(publish, rows, feature, format))) == exact(rows)


def test_datasets_in_datasets(format, publish):
    """A `Dataset` in a `Dataset` comes as what a sequence of dicts in one does, not as a source."""
    rows = [[{"n": 1, "d": ["x", "y"], "m": [1, 2]}, {"n": 2, "d": ["z"], "m": [3]}], [{"n": 3, "d": [], "m": [4]}]]
    feature = F.Dataset({"n": np.int64, "d": F.Dataset(F.Text()), "m": F.Dataset(np.int64)})
    assert exact(both_ways(publish_rows(publish, rows, feature, format))) == exact(
        [
            {"n": torch.tensor([1, 2]), "d": [["x", "y"], ["z"]], "m": [torch.tensor([1, 2]), torch.tensor([3])]},
            {"n": torch.tensor([3]), "d": [[]], "m": [torch.tensor([4])]},
        ]
    )


def test_a_manifest_that_does_not_tell(format, publish, monkeypatch):
    """Where a manifest says nothing of the strings in a sequence, as those of older exports, `Text` is str and the rest bytes."""
    from exporters.schema import fitting as choice

    monkeypatch.setattr(choice, "_leaf_kinds", lambda *_: {})
    feature = F.Sequence({"t": F.Text(), "b": BYTES, "i": F.Image(shape=(4, 5, 3))})
    rows = [{"t": [b"a"], "b": ["x"], "i": [file(7)]}] * 2
    got = both_ways(publish_rows(publish, rows, feature, format))[0]
    assert exact({key: got[key] for key in "tb"}) == exact({"t": ["a"], "b": [b"x"]})
    assert torch.equal(torch.stack(list(got["i"])), image(7, 1).permute(0, 2, 3, 1))


def test_str_among_bytes(format, publish):
    """Strings inside of lists are of one type throughout, as those of flat features are: another one is told with its row."""
    rows = [[["a"]], [["b"], [b"c"]]]
    feature = F.Sequence(F.Sequence(F.Text()))
    with pytest.raises(SchemaError, match=r"batch 1, feature 'x', row 0: expected str, got bytes"):
        publish_rows(publish, rows, feature, format, batch_size=1)
    assert both_ways(publish_rows(publish, rows, feature, format)) == [[["a"]], [["b"], ["c"]]]  # a first batch of both is text


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
LEAVES = st.sampled_from(
    [
        (F.Text(), TEXT),
        (F.Text(), TEXT.map(str.encode)),
        (BYTES, st.binary(max_size=3)),
        (BYTES, TEXT),
        (F.Scalar(np.int64), st.integers(-(2**63), 2**63 - 1)),
        (F.Scalar(np.bool_), st.booleans()),
    ]
).map(lambda leaf: (leaf[0], lambda _: leaf[1]))
"""Features, each with a function of the least size of its lists that gives its values."""


def in_sequence(kind):
    feature, values = kind
    return F.Sequence(feature), lambda least: st.lists(values(least), min_size=least, max_size=3)


def in_dict(parts):
    feature = F.FeaturesDict({key: feature for key, (feature, _) in parts.items()})
    return feature, lambda least: st.fixed_dictionaries({key: values(least) for key, (_, values) in parts.items()})


NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(in_sequence),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2).map(in_dict).map(in_sequence),
    ),
    max_leaves=4,
).filter(lambda kind: isinstance(kind[0], F.Sequence))


def back(feature, value, depth=0):
    """What `as_torch` makes of a value that lies in so many lists: dicts of lists, tensors of numbers, strings as they are."""
    if isinstance(feature, F.Sequence):
        return back(feature.feature, value, depth + 1)
    if isinstance(feature, F.FeaturesDict):
        return {key: back(part, pick(value, key, depth), depth) for key, part in feature.items()}
    if depth > 1:
        return [back(feature, item, depth - 1) for item in value]
    return value if feature.np_dtype == np.object_ else torch.from_numpy(np.array(value, feature.np_dtype))


def pick(value, key, depth):
    return [pick(item, key, depth - 1) for item in value] if depth else value[key]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_nested_feature_comes_back(format, publish, data):
    """Of any features in each other, str, bytes and numbers come back as what they were, one by one and in batches. The first
    row tells what they are; the others may be empty."""
    feature, values = data.draw(NESTED, "feature")
    rows = [data.draw(values(1), "first row"), *data.draw(st.lists(values(0), max_size=3), "rows")]
    if isinstance(feature.feature, F.FeaturesDict) and data.draw(st.booleans(), "is a Dataset"):
        feature = F.Dataset(feature.feature)
    assert exact(both_ways(publish_rows(publish, rows, feature, format))) == exact([back(feature, row) for row in rows])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_optional_text_comes_back(format, publish, data):
    """Optional strings come back as str, bytes or None, whatever the first row has."""
    values = data.draw(st.sampled_from([TEXT, st.binary(max_size=3)]), "kind")
    rows = data.draw(st.lists(values | st.none(), min_size=1, max_size=4).filter(any), "rows")
    feature = F.Scalar(dtype=np.object_, optional=True)
    assert exact(both_ways(publish_rows(publish, rows, feature, format))) == exact(rows)
