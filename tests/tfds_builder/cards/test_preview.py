"""`tfds_builder.cards.preview`: a few true examples as JSON lines, small whatever the dataset is."""

import json
import math

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.cards.preview import BYTES, ROWS, TEXT, VALUES, Preview, encode, preview_of
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.directory import Directory


def preview(directory):
    return preview_of(Directory.at(directory), read_manifest(directory))


def lines_of(found):
    """The lines, which are JSON in the strict sense."""

    def refuse(name):
        raise AssertionError(name)

    return [json.loads(line, parse_constant=refuse) for line in found.text.split("\n")[:-1]]


def plain(value):
    """A value of the golden datasets as the preview has it."""
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        text = value.decode("utf-8", "backslashreplace")
        return text if len(text) <= TEXT else f"{text[:TEXT]}…"
    value = value.item()
    if isinstance(value, complex):
        return [plain(np.float64(value.real)), plain(np.float64(value.imag))]
    return value if not isinstance(value, float) or math.isfinite(value) else None


@kit.both_formats
@pytest.mark.parametrize("name", ["pairs", "kinds", "text", "coded"])
def test_true(golden, name, format):
    """Every dtype and text is what was exported, in rows that are evenly spaced; only images are left out."""
    found = preview(golden / f"{name}_{format}" / "1.0.0")
    truth = kit.make.truth(name)["train"]
    images = {"image", "png"}
    assert set(found.left_out) == images & truth.keys()
    assert set(found.features) == truth.keys() - images
    lines = lines_of(found)
    rows = len(next(iter(truth.values())))
    assert [line["place"] for line in lines] == [
        {"split": "train", "row": number * rows // len(lines)} for number in range(min(ROWS, rows))
    ]
    for line in lines:
        expected = {encode(key): plain(values[line["place"]["row"]]) for key, values in truth.items() if key not in images}
        assert line["example"] == expected
    assert Preview.from_json(json.loads(json.dumps(found.to_json()))) == found


@kit.both_formats
def test_rows(tmp_path, format):
    """Rows that differ in length are lists, each of its own length."""
    directory = kit.copy_golden(f"rows_{format}", tmp_path)
    expected = [
        {key: value if isinstance(value, list) else value.tolist() for key, value in row.items()} for row in kit.make.rows()
    ]
    assert [line["example"] for line in lines_of(preview(directory))] == expected


def test_small(tmp_path):
    """Large arrays are left out and named; thousands of features fit as far as there is room, the others are named too."""
    few = {f"{'x' * 100} {number}": np.full((30, VALUES), 1 / 3) for number in range(40)}
    directory = kit.write_table(tmp_path, "noise", {"train": {"large": np.zeros((30, VALUES + 1)), **few}})
    found = preview(directory)
    assert len(found.text) < BYTES * 1.05
    assert found.left_out["large"] == f"more than {VALUES} values"
    assert 0 < len(found.features) < 40
    assert len(found.features) + len(found.left_out) == 41
    assert found.left_out[f"{'x' * 100} 39"] == f"the preview has {BYTES // 1000} kB at most"


def test_names(tmp_path):
    """Names of features are their own keys, whatever they are, and no two have the same."""
    names = ["a b", "a%20b", "..", "%2E%2E", "x\"'><\\", "Größe", "\u202e", "deep/er", "$[*]", "place"]
    directory = kit.write_table(tmp_path, "noise", {"train": {name: np.arange(3) + i for i, name in enumerate(names)}})
    found = preview(directory)
    assert sorted(found.features) == sorted(names)
    assert lines_of(found)[1]["example"] == {encode(name): 1 + names.index(name) for name in found.features}
    assert all(encode(name).isascii() and '"' not in encode(name) and " " not in encode(name) for name in names)


def test_which_split(tmp_path):
    """The first split that has examples, `train` before all others; of none there is no preview."""
    columns = {"few": {"x": np.arange(2)}, "train": {"x": np.arange(3)}}
    assert preview(kit.write_table(tmp_path / "a", "noise", columns)).split == "train"
    assert preview(kit.write_table(tmp_path / "b", "noise", {"few": columns["few"]})).split == "few"


F = tfds.features
BOX = {"bbox": np.array([0, 0, 0.5, 1], np.float32), "label": 1}
LONG = np.zeros(VALUES + 1, np.float32)
KINDS = (
    (F.Scalar(np.int64, optional=True), [None, 2**53 + 1], "x", [None, 2**53 + 1]),
    (F.Sequence(F.Sequence(np.int64)), [[[1, 2], [3]], []], "x", [[[1, 2], [3]], []]),
    (F.Sequence({"bbox": F.Tensor(shape=(4,), dtype=np.float32), "label": F.ClassLabel(num_classes=2)}), [[BOX], []],
     "x/bbox", [[[0, 0, 0.5, 1]], []]),
    (F.Dataset({"a": F.Scalar(np.int64)}), [[{"a": 1}, {"a": 2}], [{"a": 3}]], "x/a", [[1, 2], [3]]),
    (F.Translation(["de", "en"]), [{"de": "Größe", "en": "size"}] * 2, "x/de", ["Größe", "Größe"]),
    (F.Sequence(F.Text()), [["a", ""], []], "x", [["a", ""], []]),
    (F.Sequence(F.Image(shape=(2, 2, 3))), [[np.zeros((2, 2, 3), np.uint8)]] * 2, "x", "an image"),
    (F.Audio(sample_rate=8000), [np.zeros(3, np.int64)] * 2, "x", "sound"),
    (F.Tensor(shape=(None,), dtype=np.float32), [LONG, LONG[:0]], "x", "more than 64 values"),
)  # fmt: skip


@pytest.mark.needs_torch
@kit.both_formats
@pytest.mark.parametrize(("feature", "values", "name", "expected"), KINDS)
def test_kinds(tmp_path, feature, values, name, expected, format):
    """Every kind of feature: nested ones by the names of their parts, what is optional with null, media left out and said so."""
    from torch.utils.data import DataLoader

    import exporters

    loader = DataLoader([{"x": value, "n": 1} for value in values], 2, collate_fn=list)
    done = exporters.export(
        loader, tmp_path, name="ds", features={"x": feature}, format=format, progress=False, on_hazard="ignore"
    )
    found = preview(done.path)
    if isinstance(expected, str):
        assert found.left_out == {name: expected}
    else:
        assert [line["example"][name] for line in lines_of(found)] == expected
        assert not found.left_out
    assert [line["example"]["n"] for line in lines_of(found)] == [1, 1]
