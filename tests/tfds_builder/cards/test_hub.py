"""`tfds_builder.cards.hub`: a README.md whose front matter the Hub reads, and whose text is text."""

import dataclasses
import json
import re

import pytest

from tfds_builder.cards.hub import dataset_card_of, size_category
from tfds_builder.cards.preview import preview_of
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract.directory import Directory

pytestmark = pytest.mark.once

HOSTILE = (
    '</script><img src=x onerror=alert(1)> [a](javascript:b) | "x": - {{ 7 }} \x00\x1b[2J\u202e\n---\nlicense: mit\n```\n# '
    "\U0001f44d"
)


@pytest.fixture
def manifest(golden):
    return read_manifest(golden / "pairs_hdf5" / "1.0.0")


def front_matter(text):
    """What the Hub reads of a card: YAML between the first two lines of three dashes."""
    yaml = pytest.importorskip("yaml")
    found = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    return yaml.safe_load(found[1])


def test_front_matter(golden, manifest):
    """Licence, task, size; the only config it claims is one that the Hub can load, the preview. Splits stand in the text."""
    directory = Directory.at(golden / "pairs_hdf5" / "1.0.0")
    card = dataset_card_of(manifest, preview_of(directory, manifest), [])
    content = front_matter(card)
    assert content["license"] == "cc0-1.0"
    assert content["task_categories"] == ["image-classification"]
    assert content["size_categories"] == ["n<1K"]
    assert content["pretty_name"] == "pairs_hdf5"
    assert content["configs"] == [{"config_name": "preview", "data_files": [{"split": "preview", "path": "preview.jsonl"}]}]
    assert "dataset_info" not in content
    for name, split in manifest.splits.items():
        assert f"| {name} | {split.examples} | {len(split.shards)} | {split.bytes:,} |" in card
    assert "configs" not in front_matter(dataset_card_of(manifest, None, []))


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("", {"license": "unknown"}),
        ("MIT", {"license": "mit"}),
        (
            "For our team only!",
            {"license": "other", "license_name": "for-our-team-only", "license_details": "For our team only!"},
        ),
        ("CC-BY-SA-2.0", {"license": "other", "license_name": "cc-by-sa-2.0", "license_details": "CC-BY-SA-2.0"}),
        ("!", {"license": "other", "license_name": "own", "license_details": "!"}),
    ],
)
def test_licence(manifest, licence, expected):
    """One of the Hub's; "other" with its name and words, and no link to a file that is not beside the card; "unknown" where
    nothing is said."""
    content = front_matter(dataset_card_of(dataclasses.replace(manifest, card={"license": licence}), None, []))
    found = {key: value for key, value in content.items() if key.startswith("license")}
    assert any(file.file == "LICENSE" for file in manifest.metadata)
    spdx = {"license_link": "https://spdx.org/licenses/CC-BY-SA-2.0.html"} if licence == "CC-BY-SA-2.0" else {}
    assert found == expected | spdx


def test_hostile(golden, manifest):
    """Nothing of a text becomes a key of the front matter, HTML, a link, a cell or the end of a block of code."""
    labels = {"label": [HOSTILE] * 5}
    hostile = dataclasses.replace(
        manifest, card=dict.fromkeys(("description", "homepage", "citation", "license"), HOSTILE), labels=labels,
        decisions=(HOSTILE,), producer=HOSTILE, config_description=HOSTILE, release_notes={"1.0.0": HOSTILE},
    )  # fmt: skip
    preview = preview_of(Directory.at(golden / "pairs_hdf5" / "1.0.0"), manifest)
    preview = dataclasses.replace(preview, left_out={HOSTILE: HOSTILE}, split=HOSTILE)
    text = dataset_card_of(hostile, preview, [("NumPy", HOSTILE)])
    content = front_matter(text)
    assert content["license"] == "other"
    assert content["license_details"].endswith("# \U0001f44d")
    body = text.split("\n---\n", 1)[1]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", body.replace(f"\n````\n{HOSTILE}\n````", ""))
    outside = re.sub(r"(`{4,})\n.*?\n\1\n", "", body, flags=re.DOTALL)
    assert outside.count("````") == 0
    assert "<" not in re.sub(r"&lt;", "", outside)
    assert not re.search(r"(?<!\\)\[", outside)
    assert not re.search(r"^license", outside.split("\n## ", 1)[1], re.MULTILINE)
    for line in outside.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 5)


def test_tables_only(golden):
    """Arrays that are no image are no table, so nothing is said of a task that the Hub calls tabular."""
    kinds = read_manifest(golden / "kinds_hdf5" / "1.0.0")
    assert "task_categories" not in front_matter(dataset_card_of(kinds, None, []))


@pytest.mark.parametrize(
    ("examples", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12 - 1, "100B<n<1T"), (10**12, "n>1T")],
)
def test_sizes(examples, category):
    """The Hub's words for sizes."""
    assert size_category(examples) == category


def test_the_hub_reads_it(golden, manifest, tmp_path):
    """The Hub's own libraries read the card, and load the preview by it."""
    hub = pytest.importorskip("huggingface_hub")
    datasets = pytest.importorskip("datasets")
    preview = preview_of(Directory.at(golden / "pairs_hdf5" / "1.0.0"), manifest)
    (tmp_path / "README.md").write_text(dataset_card_of(manifest, preview, []))
    (tmp_path / "preview.jsonl").write_text(preview.text)
    card = hub.DatasetCard.load(tmp_path / "README.md")
    assert card.data.license == "cc0-1.0"
    loaded = datasets.load_dataset(str(tmp_path), "preview", cache_dir=str(tmp_path / "cache"))["preview"]
    lines = [json.loads(line) for line in preview.text.splitlines()]
    assert [(row["place"], row["example"]) for row in loaded] == [(line["place"], line["example"]) for line in lines]
