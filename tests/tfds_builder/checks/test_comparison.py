"""`compare` finds what was done to a dataset, and nothing else; against a model that counts in plain Python."""

import collections

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.checks.comparison import SplitChange, _match, _pair, compare
from tfds_builder.errors import DamagedFileError, MissingFileError
from tfds_builder.features.feature_json import features_to_json


def publish(tmp_path, version, splits, name="ds", **fields):
    return kit.write_table(tmp_path, name, splits, version=version, rows_per_shard=7, **fields)


@pytest.fixture
def rows():
    return kit.numbers(30)


def pick(columns, numbers):
    return {name: values[np.asarray(numbers)] for name, values in columns.items()}


def test_the_same(tmp_path, rows):
    """The same values are the same, in other shards and under another name too."""
    before = publish(tmp_path, "1.0.0", {"train": rows})
    again = kit.write_table(tmp_path, "other", {"train": rows}, rows_per_shard=4)
    for after in (before, again):
        found = compare(before, after)
        assert found.is_same
        assert (found.splits["train"].kept, found.splits["train"].came) == (30, 0)


def test_formats_are_no_difference(golden):
    """A dataset as TFRecord and as HDF5 is the same one."""
    for kind in ("pairs", "kinds", "text", "coded"):
        found = compare(*(golden / f"{kind}_{format}" / "1.0.0" for format in kit.FORMATS))
        assert found.is_same, found
        assert found.compared_by


def test_rows_of_any_length(tmp_path):
    """Strings and rows of different lengths are compared too."""
    old, new = (kit.copy_golden(f"rows_{format}", tmp_path) for format in kit.FORMATS)
    found = compare(old, new)
    assert found.is_same
    assert set(found.compared_by) == {"boxes", "id", "tokens", "words"}


def test_came_went_changed(tmp_path, rows):
    """A row left out, one put in, one changed: each is told by its number, though all behind it are shifted."""
    order = [*range(5), *range(6, 20), 25, *range(20, 25)]
    after = pick(rows, order)
    after["grid"][10] += 1
    found = compare(publish(tmp_path, "1.0.0", {"train": pick(rows, range(25))}), publish(tmp_path, "1.1.0", {"train": after}))
    split = found.splits["train"]
    assert (split.kept, split.came, split.went, split.changed) == (23, 1, 1, 1)
    assert (split.went_rows, split.came_rows, split.changed_rows) == ((5,), (19,), (11,))
    assert not split.is_reordered
    assert not found.is_same


def test_another_order(tmp_path, rows):
    """The same examples in another order are said to be that, and are a difference."""
    found = compare(
        publish(tmp_path, "1.0.0", {"train": rows}), publish(tmp_path, "2.0.0", {"train": pick(rows, range(29, -1, -1))})
    )
    split = found.splits["train"]
    assert (split.kept, split.came, split.went, split.changed, split.is_reordered) == (30, 0, 0, 0, True)
    assert not found.is_same


def test_from_one_split_to_another(tmp_path, rows):
    """Examples that went to another split are found there; a new split and one that is gone are told."""
    before = publish(
        tmp_path, "1.0.0", {"train": pick(rows, range(20)), "test": pick(rows, range(20, 25)), "old": pick(rows, [29])}
    )
    after = publish(
        tmp_path, "1.1.0", {"train": pick(rows, range(18)), "test": pick(rows, range(18, 25)), "new": pick(rows, [0])}
    )
    found = compare(before, after)
    assert found.splits["test"].moved_from == {"train": 2}
    assert (found.splits["train"].went, found.splits["train"].moved_from) == (2, {})
    assert (found.splits["old"].before, found.splits["old"].after) == (1, None)
    assert (found.splits["new"].after, found.splits["new"].moved_from) == (1, {"train": 1})
    assert list(found.splits) == ["train", "test", "old", "new"]


def test_features(tmp_path, rows):
    """Features that came, went, or are of another type; examples are compared by the columns that are alike."""
    before = publish(tmp_path, "1.0.0", {"train": rows | {"more": np.zeros(30)}})
    after = publish(
        tmp_path, "2.0.0", {"train": {"row": rows["row"], "grid": rows["grid"].astype(np.float64), "extra": np.ones(30)}}
    )
    found = compare(before, after)
    assert {change.name: (change.before is None, change.after is None) for change in found.features} == {
        "grid": (False, False), "more": (False, True), "extra": (True, False),
    }  # fmt: skip
    assert found.compared_by == ("row",)
    assert found.splits["train"].kept == 30
    assert not found.is_same


def labelled(tmp_path, version, classes, names):
    """A version of labels of those classes, by name; `label` and, in lists of three, `many/label`."""
    numbers = np.array([names.index(name) if name in names else int(name) for name in classes])
    features = {
        "label": tfds.features.ClassLabel(names=names),
        "many": tfds.features.Sequence({"label": tfds.features.ClassLabel(names=names)}, length=3),
    }
    splits = {"train": {"label": numbers, "many/label": np.stack([numbers] * 3, 1)}}
    return with_features(publish(tmp_path, version, splits), features, {"label": names, "many/label": names})


def with_features(directory, features, labels):
    """A version as one of other features, with those class names."""
    content = features_to_json(tfds.features.FeaturesDict(features))
    kit.edit_manifest(directory, lambda manifest: manifest.update(features=content, labels=labels))
    return directory


def test_renumbered_classes(tmp_path):
    """Labels are compared by the classes' names where the numbers stand for others: the same classes are the same examples, the
    same numbers of other classes are not, and what is no class stays none."""
    classes = ["a", "b", "c", "-1", "9"] * 4
    before = labelled(tmp_path, "1.0.0", classes, ["a", "b", "c", "d"])
    found = compare(before, labelled(tmp_path, "1.1.0", classes, ["new", "b", "d", "a", "c"]))
    assert found.by_class_name == found.compared_by == ("label", "many/label")
    assert [change.name for change in found.features] == ["label", "many/label"]
    assert found.splits["train"].is_same
    assert not found.is_same
    others = ["d" if name == "c" else name for name in classes]  # which has the number that c had
    found = compare(before, labelled(tmp_path, "1.2.0", others, ["a", "b", "d", "c"])).splits["train"]
    assert (found.kept, found.changed) == (16, 4)
    found = compare(before, labelled(tmp_path, "1.3.0", classes, ["a", "b", "c", "d", "e"]))
    assert (found.by_class_name, found.splits["train"].is_same) == ((), True)


def test_labels_that_cannot_be_renumbered(tmp_path):
    """Labels that are not a column by themselves, with classes of other numbers, are left out, and that is said."""
    lists = tfds.features.Sequence(tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b"])))
    columns = {"label/ragged_flat_values": np.arange(4) % 2, "label/ragged_row_lengths_0": np.ones(4, np.int64)}
    versions = [
        with_features(
            publish(tmp_path, version, {"train": columns | {"row": np.arange(4)}}),
            {"label": lists, "row": np.int64},
            {"label": names},
        )
        for version, names in {"1.0.0": ["a", "b"], "1.1.0": ["b", "a"]}.items()
    ]
    found = compare(*versions)
    assert (found.compared_by, found.not_compared, found.by_class_name) == (("row",), ("label",), ())
    assert not found.is_same


@pytest.mark.parametrize("damage", ["gone", "shorter", "metadata"])
def test_files_are_there(tmp_path, rows, damage):
    """A version that lacks a file, or has one of another size, is not compared, be its manifest the same as the other's."""
    whole, damaged = (kit.write_table(tmp_path / name, "ds", {"train": rows}) for name in ("a", "b"))
    assert not compare(whole, damaged).is_read
    file = damaged / "dataset_info.json" if damage == "metadata" else next(damaged.glob("*.h5"))
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    for pair in ((whole, damaged), (damaged, whole)):
        with pytest.raises(MissingFileError if damage == "gone" else DamagedFileError, match=file.name):
            compare(*pair)


def test_nothing_to_compare_by(tmp_path, rows):
    """Where no column is alike, no example is said to be kept or to have come from elsewhere, and fewer are not the same."""
    before = publish(tmp_path, "1.0.0", {"train": {"a": rows["row"]}, "old": {"a": rows["row"]}})
    after = publish(tmp_path, "2.0.0", {"train": {"b": rows["row"][:9]}, "new": {"b": rows["row"]}})
    found = compare(before, after)
    assert (found.compared_by, found.not_compared) == ((), ())
    assert found.splits["train"] == SplitChange(before=30, after=9)
    assert not found.splits["train"].is_same
    assert not found.splits["new"].moved_from


@kit.both_formats
def test_balance_of_classes(tmp_path, format):
    """The classes of which there are more or fewer, by name."""
    old = kit.copy_golden(f"pairs_{format}", tmp_path / "a")
    new = kit.copy_golden(f"pairs_{format}", tmp_path / "b")
    truth = kit.make.truth("pairs")

    def swap(manifest):
        by_name = {split["name"]: split for split in manifest["splits"]}
        by_name["train"]["name"], by_name["test"]["name"] = "test", "train"

    kit.edit_manifest(new, swap)
    found = compare(old, new).splits["train"].classes["label"]
    counts = [collections.Counter(truth[split]["label"].tolist()) for split in ("train", "test")]
    names = kit.make.CLASSES
    assert found == {names[i]: (counts[0][i], counts[1][i]) for i in range(5) if counts[0][i] != counts[1][i]}


@hypothesis.given(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_as_counted_by_hand(before, after):
    """Duplicates are matched one to one: what is kept is the intersection of the two as multisets."""
    old, new = (np.array([bytes([n] * 16) for n in rows], "V16") for rows in (before, after))
    first, second, is_reordered = _match(old, new)
    kept = collections.Counter(before) & collections.Counter(after)
    for rows, mask in ((before, first), (after, second)):
        assert collections.Counter(row for row, keep in zip(rows, mask, strict=True) if keep) == kept
    kept_rows = [[row for row, keep in zip(rows, mask, strict=True) if keep] for rows, mask in ((before, first), (after, second))]
    assert is_reordered == (kept_rows[0] != kept_rows[1])
    gone, arrived = np.flatnonzero(~first), np.flatnonzero(~second)
    left, right = _pair(first, second, gone, arrived)
    assert len(left) == len(right) <= min(len(gone), len(arrived))
    assert [first[:row].sum() for row in left] == [second[:row].sum() for row in right]
