"""Statistics of a published version are what NumPy makes of its values, and say of themselves whether they are of a sample."""

import itertools
import json
import statistics

import consumer_kit as kit
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tfds_builder.contract.manifest import FILENAME
from tfds_builder.errors import ManifestError
from tfds_builder.pages import collectors
from tfds_builder.pages.statistics import Statistics, statistics_of


def features_of(version, split="train", **options):
    return statistics_of(version, use_cache=False, **options).splits[split].features


def expect_numbers(found, values):
    """Asserts that numbers are those of an array's finite values."""
    values = values[np.isfinite(values)] if values.dtype.kind not in "iub" else values
    assert (found.count, found.minimum, found.maximum) == (values.size, values.min(), values.max())
    whole = values.astype(np.float64)
    np.testing.assert_allclose((found.mean, found.std), (whole.mean(), whole.std()), rtol=1e-12, atol=1e-300)
    edges, counts = found.histogram.edges, found.histogram.counts
    assert len(edges) == len(counts) + 1 <= 33
    bins = [np.sum((values >= low) & (values < high)) for low, high in itertools.pairwise(edges[:-1])]
    assert list(counts) == [*bins, np.sum(values >= edges[-2])]


@kit.both_formats
def test_pairs(golden, format):
    """Images by channel and all together, labels by class, of every split and both formats."""
    found = statistics_of(golden / f"pairs_{format}" / "1.0.0", use_cache=False)
    assert found.is_exact
    for split, values in kit.make.truth("pairs").items():
        image, label = (found.splits[split].features[name] for name in ("image", "label"))
        expect_numbers(image.values, values["image"])
        assert len(image.channels) == 3
        for number, channel in enumerate(image.channels):
            of_channel = values["image"][..., number]
            assert (channel.count, channel.minimum, channel.maximum) == (of_channel.size, of_channel.min(), of_channel.max())
            np.testing.assert_allclose((channel.mean, channel.std), (of_channel.mean(), of_channel.std()), rtol=1e-12)
            assert sum(channel.histogram.counts) == of_channel.size
        counts = np.bincount(values["label"], minlength=5)
        assert label.classes.counts == {number: count for number, count in enumerate(counts.tolist()) if count}
        assert label.classes.names == tuple(kit.make.CLASSES)
        assert found.splits[split].examples == len(values["label"])


@kit.both_formats
def test_every_dtype(golden, format):
    """Every number of every bit pattern: range, mean, histogram, NaN and infinities; complex ones have the last two only."""
    features = features_of(golden / f"kinds_{format}" / "1.0.0")
    for name, values in kit.make.truth("kinds")["train"].items():
        found = features[name]
        if found.kind == "label":
            continue
        if values.dtype.kind not in "iub":
            isnan, isinf = np.isnan(values), np.isinf(values)
            assert (found.not_finite.nan, found.not_finite.infinite) == (isnan.sum(), isinf.sum())
        if values.dtype.kind == "c":
            assert found.values is None
        elif values.dtype != np.float64:  # those are beyond what can be squared
            kind = values.view(np.uint8) if values.dtype == bool else values
            expect_numbers(
                found.values, kind.astype(np.float32) if kind.dtype.itemsize == 2 and kind.dtype.kind not in "iu" else kind
            )


@kit.both_formats
def test_decoded(golden, format):
    """What must be decoded (PNG, zlib) has the statistics of its values, not of its bytes."""
    features = features_of(golden / f"coded_{format}" / "1.0.0")
    values = kit.make.truth("coded")["train"]
    assert features["png"].kind == "image"
    expect_numbers(features["png"].values, values["png"])
    assert features["zipped"].values.minimum == values["zipped"].min()
    assert features["png"].lengths.unit == "bytes"


@kit.both_formats
def test_rows_of_any_length(tmp_path, format):
    """Lengths are items of lists and bytes of strings; the values of all rows are measured together."""
    features = features_of(kit.copy_golden(f"rows_{format}", tmp_path))
    rows = kit.make.rows()
    for name in ("boxes", "tokens", "words"):
        lengths = [len(row[name]) for row in rows]
        found = features[name].lengths
        assert (found.unit, found.minimum, found.maximum, found.mean) == ("items", min(lengths), max(lengths), np.mean(lengths))
        assert sum(found.histogram.counts) == len(rows)
    expect_numbers(features["tokens"].values, np.concatenate([row["tokens"] for row in rows]))
    assert [channel.count for channel in features["boxes"].channels] == [sum(len(row["boxes"]) for row in rows)] * 4
    assert features["words"].strings.distinct == 3
    assert features["words"].strings.most_common[0] == ("word 0", 5)


@kit.both_formats
def test_strings(golden, format):
    """Distinct strings, the most common, and their lengths in bytes."""
    features = features_of(golden / f"text_{format}" / "1.0.0")
    texts = kit.make.truth("text")["train"]["caption"].tolist()
    assert features["caption"].strings.distinct == len(set(texts))
    lengths = features["caption"].lengths
    assert (lengths.unit, lengths.minimum, lengths.maximum) == ("bytes", min(map(len, texts)), max(map(len, texts)))
    words = kit.make.truth("text")["train"]["meta/words"]
    assert features["meta/words"].lengths.mean == pytest.approx(np.mean([len(word) for word in words.ravel()]))


@pytest.fixture
def large(tmp_path):
    """Rows of many floats, of which the last is NaN once, beside a number a row."""
    random = np.random.RandomState(0)
    grid = random.normal(size=(300, 10, 10, 3)).astype(np.float32)
    grid[299, 9, 9, 1], grid[7, 0, 0, 0] = np.nan, np.inf
    number = np.arange(300)
    return kit.write_table(tmp_path, "large", {"train": {"grid": grid, "number": number}}, rows_per_shard=70), grid, number


def test_a_sample_says_so(large):
    """Many values in a row: a sample of evenly spaced rows, marked as one; what is counted over all rows is not."""
    version, grid, number = large
    found = statistics_of(version, sample=50, use_cache=False)
    assert not found.is_exact
    features = found.splits["train"].features
    taken = grid[::6]
    assert (features["grid"].values.is_sample, features["grid"].values.rows) == (True, 50)
    assert all((channel.is_sample, channel.rows) == (True, 50) for channel in features["grid"].channels)
    expect_numbers(features["grid"].values, taken)
    assert (features["grid"].not_finite.nan, features["grid"].not_finite.infinite) == (1, 1)
    assert (features["grid"].not_finite.is_sample, features["grid"].not_finite.rows) == (False, 300)
    assert (features["number"].values.is_sample, features["number"].values.rows) == (False, 300)
    expect_numbers(features["number"].values, number)


def test_exact_leaves_nothing_out(large):
    """`exact=True` looks at every row, and no number is then of a sample."""
    version, grid, _ = large
    found = statistics_of(version, sample=50, exact=True, use_cache=False)
    assert found.is_exact
    values = found.splits["train"].features["grid"].values
    assert (values.is_sample, values.rows) == (False, 300)
    expect_numbers(values, grid)


def test_kept_by_digest(large):
    """What was found is kept beside the datasets by the manifest's digest, and not inside of a version; exact numbers serve
    whoever asks for a sample, a sample of another size nobody."""
    version, _, _ = large
    before = sorted(path.name for path in version.iterdir())
    first = statistics_of(version, sample=50)
    assert sorted(path.name for path in version.iterdir()) == before
    (kept,) = (version.parents[1] / ".catalog").iterdir()
    assert kept.name == f"{first.digest}.json"
    assert first.digest in (version / FILENAME).read_text()
    marked = json.loads(kept.read_bytes())
    marked["splits"]["train"]["examples"] = 12345
    kept.write_text(json.dumps(marked))
    assert statistics_of(version, sample=50).splits["train"].examples == 12345
    assert statistics_of(version, sample=40).splits["train"].examples == 300
    assert statistics_of(version, exact=True).is_exact
    assert statistics_of(version, sample=50).is_exact


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"statistics_version": 1}', b'{"statistics_version": 1, "splits": {"a": 7}}', b"\xff"]
)
def test_a_damaged_cache_is_none(large, damage):
    """What was kept and cannot be read is found anew."""
    version, _, _ = large
    first = statistics_of(version, sample=50)
    (kept,) = (version.parents[1] / ".catalog").iterdir()
    kept.write_bytes(damage)
    with pytest.raises(ManifestError):
        Statistics.from_json(damage)
    assert statistics_of(version, sample=50) == first
    assert Statistics.from_json(kept.read_bytes()) == first


def test_what_could_not_be_measured(golden, tmp_path, monkeypatch):
    """Statistics that lack a feature, as what decodes it is missing, are not kept: they are whole once it is installed."""
    version = kit.copy_golden("coded_tfrecord", tmp_path)
    image_feature = pytest.importorskip("tensorflow_datasets.core.features.image_feature")
    monkeypatch.setattr(image_feature, "cv2", None)
    monkeypatch.setattr(image_feature, "PIL_Image", None)
    assert any("need" in feature.note for feature in statistics_of(version).splits["train"].features.values())
    monkeypatch.undo()
    assert not any(feature.note for feature in statistics_of(version).splits["train"].features.values())
    assert (tmp_path / ".catalog").is_dir()


def test_where_it_is_kept(large, tmp_path):
    """A given directory is used; one inside of a version is refused; a link at `.catalog` is not followed."""
    version, _, _ = large
    statistics_of(version, sample=50, cache=tmp_path / "kept")
    assert len(list((tmp_path / "kept").iterdir())) == 1
    for inside in (version, version / "kept"):
        with pytest.raises(ValueError, match="inside of a published version"):
            statistics_of(version, cache=inside)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".catalog").symlink_to(tmp_path / "elsewhere")
    statistics_of(version, sample=50)
    assert not list((tmp_path / "elsewhere").iterdir())
    with pytest.raises(ValueError, match="sample must be at least 1"):
        statistics_of(version, sample=0)


def test_where_nothing_can_be_kept(large):
    """Statistics come all the same."""
    version, _, _ = large
    taken = version.parents[1] / ".catalog"
    taken.write_bytes(b"a file")
    assert statistics_of(version, sample=50).splits["train"].examples == 300
    assert taken.read_bytes() == b"a file"


@kit.every_golden
def test_json(golden, name):
    """To JSON and back is the same, of every golden dataset; and the JSON has no NaN."""
    found = statistics_of(golden / name / "1.0.0", use_cache=False)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Statistics.from_json(json.loads(text)) == found == Statistics.from_json(text.encode())


def test_labels_without_a_class(tmp_path):
    """-1, which is no class, is counted apart."""
    from tfds_builder.pages.collectors import ClassCollector

    classes = ClassCollector()
    for block in ([0, -1, 2], [2, -1]):
        classes.add(np.array(block))
    found = classes.found(5, 3, ("a", "b", "c"))
    assert (found.counts, found.unlabelled, found.name(2), found.name(7)) == ({0: 1, 2: 2}, 2, "c", "7")


def test_strings_that_are_too_many():
    """Beyond the limit nothing is said of how many there are, or of which is the most common."""

    strings = collectors.StringCollector()
    strings.add(np.array([str(number).encode() for number in range(collectors.LIMIT)], object))
    assert strings.found(1).distinct == collectors.LIMIT
    strings.add(np.array([b"one more"], object))
    found = strings.found(1)
    assert (found.distinct, found.most_common, found.limit) == (None, (), collectors.LIMIT)


@pytest.mark.needs_torch
@kit.both_formats
def test_nested_features(tmp_path, format):
    """Parts of sequences of dicts, nested sequences, optional values, translations and images of any height, each by itself."""
    import tensorflow_datasets as tfds
    from torch.utils.data import DataLoader

    import exporters

    rows = [
        {
            "objects": [{"label": j % 3, "name": f"o{j}"} for j in range(i % 4)],
            "image": np.full((5 + i, 6, 3), i, np.uint8),
            "nested": [[1, 2], [3]] * (i % 3),
            "maybe": None if i % 2 else 1.5,
            "texts": {"de": "hallo", "en": "hi"},
        }
        for i in range(12)
    ]
    one = tfds.features
    features = {
        "objects": one.Sequence({"label": one.ClassLabel(names=["a", "b", "c"]), "name": one.Text()}),
        "image": one.Image(shape=(None, 6, 3)),
        "nested": one.Sequence(one.Sequence(np.int64)),
        "maybe": one.Tensor(shape=(), dtype=np.float32, optional=True),
        "texts": one.Translation(["de", "en"]),
    }
    options = {"features": features, "layouts": {"image": "NHWC"}, "on_hazard": "ignore", "progress": False}
    loader = DataLoader(rows, 4, collate_fn=list)
    found = features_of(exporters.export(loader, tmp_path, name="nested", format=format, **options).path)
    assert not any(feature.note for feature in found.values())
    assert found["objects/label"].classes.counts == {0: 9, 1: 6, 2: 3}
    assert found["objects/label"].classes.names == ("a", "b", "c")
    assert (found["objects/name"].lengths.maximum, found["objects/name"].strings.most_common[0]) == (3, ("o0", 9))
    assert (found["nested"].lengths.maximum, found["nested"].values.count, found["nested"].values.mean) == (4, 36, 2)
    assert (found["maybe"].absent, found["maybe"].values.count) == (6, 6)
    assert found["texts/de"].strings.most_common == (("hallo", 12),)
    assert (found["image"].shapes.smallest, found["image"].shapes.largest) == ((5, 6, 3), (16, 6, 3))
    assert found["image"].values.count == sum(row["image"].size for row in rows)


@pytest.mark.once
@hypothesis.given(
    start=st.integers(-(1 << 63), (1 << 63) - 1000), steps=st.lists(st.integers(0, 999), min_size=1, max_size=40),
    cuts=st.sets(st.integers(0, 40), max_size=3),
)  # fmt: skip
def test_large_integers(start, steps, cuts):
    """Integers that floats tell apart by hundreds only have the standard deviation that they have, however blocks are cut."""
    values = np.array([start + step for step in steps], np.int64)
    collector = collectors.NumberCollector(np.int64, 1)
    blocks = np.split(values, sorted(cut for cut in cuts if cut < len(values)))
    for block in blocks:
        collector.add(block)
    for block in blocks:
        collector.add_again(block)
    found, _ = collector.numbers(len(values), False)
    assert found.std == pytest.approx(statistics.pstdev(steps), rel=1e-9)
    assert found.mean == pytest.approx(start + statistics.fmean(steps), rel=1e-12)
    assert (found.minimum, found.maximum, found.count) == (int(values.min()), int(values.max()), len(values))
