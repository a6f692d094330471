"""`tfds_builder.cards.croissant`: files that `mlcroissant` finds nothing wrong with, and whose preview it loads."""

import dataclasses
import hashlib
import json
import pathlib
import re
import urllib.parse

import consumer_kit as kit
import numpy as np
import pytest

from tfds_builder.cards.croissant import FILES, annotations_of, croissant_of
from tfds_builder.cards.preview import encode
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.shards import File
from tfds_builder.pages.statistics import statistics_of
from tfds_builder.site.build import build

HOSTILE = '</script> "x" {{ 7 }} \x00\x1b[2J\u202e\u2028\ufeff \U0001f44d \\" --- @id http://[ <b>&amp;'
HOSTILE_NAMES = (re.sub("[\x00-\x1f/]", "", HOSTILE), "split", "preview", "a/b", "@type", "x.y", "..")
GOLDEN = (*kit.make.names(), "rows_tfrecord", "rows_hdf5", "variants_tfrecord")


def load(path):
    """A file as `mlcroissant validate` looks at it: it raises where anything is wrong."""
    mlcroissant = pytest.importorskip("mlcroissant")
    return mlcroissant.Dataset(path)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of the golden datasets, and where they are."""
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out") / "site"
    for name in GOLDEN:
        kit.copy_golden(name, data)
    assert not build(data, out).problems
    return data, out


def record_sets(content):
    return {record_set["@id"]: record_set for record_set in content["recordSet"]}


@pytest.mark.parametrize("name", GOLDEN)
def test_valid(site, name):
    """No error, of either format; the only warnings are of what no card says. Records of the preview are its lines."""
    for path in (site[1] / name).rglob("croissant.json"):
        dataset = load(path)
        assert not dataset.metadata.ctx.issues.errors
        warnings = " ".join(dataset.metadata.ctx.issues.warnings)
        assert warnings.count("Property") == sum(word in warnings for word in ("datePublished", "license", "citeAs"))
        lines = [json.loads(line) for line in (path.parent / "preview.jsonl").read_text().splitlines()]
        for record, line in zip(dataset.records("preview"), lines, strict=True):
            assert {"split": record["preview.split"].decode(), "row": int(record["preview.row"])} == line["place"]
            assert list(record)[2:] == [f"preview/{key}" for key in line["example"]]
            for key, value in line["example"].items():
                expect_same(record[f"preview/{key}"], value)


def expect_same(found, value):
    if isinstance(value, list):
        assert len(found) == len(value)
        for one, other in zip(found, value, strict=True):
            expect_same(one, other)
    elif isinstance(value, str):
        assert found.decode() == value
    elif isinstance(value, float):
        assert float(found) == pytest.approx(value, rel=1e-3 if isinstance(found, np.float16) else 1e-6)
    else:
        assert found == value
        assert value is None or isinstance(value, bool) or int(found) == value


def test_types(site):
    """Records have the dtypes of the features: those of 8 to 64 bits as such, text as bytes."""
    first = next(iter(load(site[1] / "kinds_tfrecord" / "1.0.0" / "croissant.json").records("preview")))
    for name in kit.make.DTYPES:
        if not name.startswith(("complex", "bfloat", "bool")):
            assert isinstance(first[f"preview/scalar/{name}"], np.dtype(name).type), name


def test_sha256_is_checked(site, tmp_path):
    """A preview that is another one than the file says is not loaded."""
    for name in ("croissant.json", "preview.jsonl"):
        (tmp_path / name).write_bytes((site[1] / "pairs_hdf5" / "1.0.0" / name).read_bytes())
    assert len(list(load(tmp_path / "croissant.json").records("preview"))) == 20
    text = (tmp_path / "preview.jsonl").read_text()
    (tmp_path / "preview.jsonl").write_text(text.replace('"row": 0', '"row": 1'))
    with pytest.raises(Exception, match="Download") as caught:
        list(load(tmp_path / "croissant.json").records("preview"))
    assert "is not identical with" in str(caught.value.__cause__)


@pytest.mark.parametrize("name", GOLDEN)
def test_files(site, name):
    """Every file but the manifest is named, with its size and SHA-256, by an address at which it lies."""
    for path in (site[1] / name).rglob("croissant.json"):
        content = json.loads(path.read_bytes())
        directory = site[0] / path.parent.relative_to(site[1])
        named = {}
        for file in content["distribution"]:
            if file["@id"].startswith("files/"):
                found = pathlib.Path(urllib.parse.unquote(file["contentUrl"].removeprefix("file://")))
                assert (found.parent, found.name) == (directory, file["name"])
                assert file["sha256"] == hashlib.sha256(found.read_bytes()).hexdigest()
                assert file["contentSize"] == f"{found.stat().st_size} B"
                named[file["name"]] = file
        assert set(named) == {found.name for found in directory.iterdir()} - {"manifest.json"}
        shards = next(file for file in content["distribution"] if file["@id"] == "shards")
        matching = {found.name for mask in shards["includes"] for found in directory.glob(mask)}
        assert matching == {key for key, file in named.items() if file["encodingFormat"] == shards["encodingFormat"]}
        every = [field for record_set in content["recordSet"] if "data" not in record_set for field in record_set["field"]]
        assert every
        assert all(field["source"] for field in every)


def test_splits_and_classes(site):
    """Splits have their roles and sizes; the classes of a label their numbers and names."""
    dataset = load(site[1] / "pairs_tfrecord" / "1.0.0" / "croissant.json")
    splits = {row["splits/name"]: row for row in dataset.records("splits")}
    assert {name: row["splits/examples"] for name, row in splits.items()} == kit.make.DATASETS["pairs"]["rows"]
    assert (splits["train"]["splits/url"], splits["test"]["splits/url"]) == ("cr:TrainingSplit", "cr:TestSplit")
    assert not isinstance(splits["few"]["splits/url"], str)
    classes = [(row["class-numbers/label"], row["class-names/label"]) for row in dataset.records("classes/label")]
    assert classes == list(enumerate(kit.make.CLASSES))


def test_statistics(tmp_path):
    """Numbers of a sample say so by their name and in words; exact ones say that they are of all examples."""
    rows = 1500
    columns = {"row": np.arange(rows), "grid": np.arange(rows * 100, dtype=np.float32).reshape(rows, 10, 10)}
    directory = kit.write_table(tmp_path / "data", "noise", {"train": columns})
    annotations = annotations_of(statistics_of(directory, use_cache=False))
    exact = {one["name"]: one for one in annotations["row"]}
    sampled = {one["name"]: one for one in annotations["grid"]}
    assert exact["mean in train"]["value"] == np.arange(rows).mean()
    assert exact["mean in train"]["description"] == "Of all 1,500 examples of train."
    assert "mean in train" not in sampled
    assert sampled["maximum in train (of a sample)"]["value"] < rows * 100 - 1
    told = "Of a sample of 1,000 of the 1,500 examples of train, evenly spaced."
    assert sampled["mean in train (of a sample)"]["description"] == told
    assert sampled["NaN in train"]["description"] == "Of all 1,500 examples of train."
    build(tmp_path / "data", tmp_path / "site")
    dataset = load(tmp_path / "site" / "noise" / "1.0.0" / "croissant.json")
    fields = {
        field.name: field for record_set in dataset.metadata.record_sets for field in record_set.fields if field.annotations
    }
    assert {one.name: one.value for one in fields["grid"].annotations} == {key: one["value"] for key, one in sampled.items()}


def test_statistics_are_bounded(tmp_path):
    """Of very many features and splits the first have statistics, so that the file stays one that tools read in seconds."""
    columns = {f"x{number:03d}": np.arange(3) for number in range(120)}
    directory = kit.write_table(tmp_path, "noise", {f"split_{number}": columns for number in range(6)})
    found = annotations_of(statistics_of(directory, use_cache=False))
    assert list(found) == list(columns)[:100]
    assert {one["name"].rpartition(" ")[2] for one in found["x000"]} == {f"split_{number}" for number in range(4)}
    load(json.loads(json.dumps(croissant_of(read_manifest(directory), "/data", None, found))))


@pytest.mark.parametrize("licence", ["MIT", "for our team only", HOSTILE, "https://example.org/terms", ""])
def test_licence(site, licence):
    """A known licence is its address at SPDX, a private one its own words, and of none there is none."""
    manifest = read_manifest(site[0] / "pairs_hdf5" / "1.0.0")
    content = croissant_of(dataclasses.replace(manifest, card={"license": licence}), "/data", None, {})
    found = load(json.loads(json.dumps(content))).metadata.license
    if licence in ("MIT", "https://example.org/terms"):
        assert found == ["https://spdx.org/licenses/MIT.html" if licence == "MIT" else licence]
    elif not licence:
        assert found is None
        assert "license" not in content
    else:
        assert content["license"]["@type"] == "CreativeWork"
        assert found[0].name == content["license"]["name"]


def test_hostile(tmp_path):
    """Text in every field: the file is valid, and the preview loads."""
    columns = {name: np.arange(4) for name in HOSTILE_NAMES}
    directory = kit.write_table(
        tmp_path / "data", "noise", {"train": columns}, config_name="evil", config_description=HOSTILE, producer=HOSTILE,
        card={**dict.fromkeys(("description", "homepage", "license"), HOSTILE), "citation": "@misc{x, author={" + HOSTILE * 9},
        release_notes={"1.0.0": HOSTILE}, decisions=(HOSTILE,),
    )  # fmt: skip
    build(tmp_path / "data", tmp_path / "site", data_dir_shown=HOSTILE)
    path = tmp_path / "site" / directory.relative_to(tmp_path / "data") / "croissant.json"
    dataset = load(path)
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("preview"))
    assert [int(record[f"preview/{encode(name)}"]) for record in records for name in columns] == [
        i for i in range(4) for _ in columns
    ]
    names = {
        field.name for record_set in dataset.metadata.record_sets if record_set.id == "examples" for field in record_set.fields
    }
    assert {"split", "..", "@type"} <= names


def test_many(site):
    """100,000 classes are all there and valid; of more than 10,000 files the first are named, and it is said so."""
    manifest = read_manifest(site[0] / "pairs_hdf5" / "1.0.0")
    names = [f"class {number} <b>" for number in range(100_000)]
    content = croissant_of(dataclasses.replace(manifest, labels={"label": names}), "/data", None, {})
    dataset = load(json.loads(json.dumps(content)))
    (classes,) = (record_set for record_set in dataset.metadata.record_sets if record_set.id == "classes/label")
    assert [row["class-names/label"] for row in classes.data] == names
    many = tuple(File(file=f"file {number}", bytes=1, sha256="0" * 64) for number in range(FILES + 5))
    content = croissant_of(dataclasses.replace(manifest, metadata=many), "/data", None, {})
    assert len(content["distribution"]) == FILES + 1
    assert "10,010, the first 10,000 are named" in content["distribution"][-1]["description"]


@pytest.mark.parametrize(
    ("data_dir", "start"),
    [
        ("/a b/ü", "file:///a%20b/%C3%BC/"),
        ("data/x", "data/x/"),
        ("https://h.org/d?x#y/", "https://h.org/d?x#y/"),
        ("gs://b/d", "gs://b/d/"),
    ],
)
def test_addresses(site, data_dir, start):
    """Files are where the readers of the catalog find the data_dir."""
    content = croissant_of(read_manifest(site[0] / "pairs_hdf5" / "1.0.0"), data_dir, None, {})
    files = [file for file in content["distribution"] if file["@id"].startswith("files/")]
    assert [file["contentUrl"] for file in files] == [f"{start}pairs_hdf5/1.0.0/{file['name']}" for file in files]
    load(json.loads(json.dumps(content)))


def test_provenance(site):
    """The version says what wrote it, and how it is to be cited."""
    content = json.loads((site[1] / "pairs_hdf5" / "1.0.0" / "croissant.json").read_bytes())
    assert content["prov:wasGeneratedBy"]["prov:wasAssociatedWith"]["prov:label"] == "torch2tfds golden"
    assert content["citeAs"] == kit.make.CARD["citation"]
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.1"
