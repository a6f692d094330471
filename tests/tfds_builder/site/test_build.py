"""The site of a data_dir: pages that let nothing run, made anew only where something changed; nothing written into a version."""

import base64
import dataclasses
import hashlib
import html.parser
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree

import consumer_kit as kit
import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builder.cards.snippets import snippets
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import ToldHazard
from tfds_builder.errors import MissingFileError, MissingPackageError, SiteError
from tfds_builder.features.feature_json import features_to_json
from tfds_builder.pages.texts import clean
from tfds_builder.site import build as build_lib
from tfds_builder.site import page as page_lib
from tfds_builder.site import render
from tfds_builder.site.build import build


class Page(html.parser.HTMLParser):
    """A page as a browser sees it: its elements with their attributes, and what is in scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.raw, self.texts, self._open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "input", "rect", "path", "circle", "use", "image", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, "elements are closed where they were opened"

    def handle_data(self, data):
        (self.raw if self._open and self._open[-1] in ("script", "style") else self.texts).append((self._open[-1:], data))

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(data for _, data in self.texts)


def check_page(path):
    """Asserts all that a page promises about what can run, load and lead elsewhere; returns the page."""
    text = path.read_text("utf-8")
    page = Page(text)
    assert not page._open
    policy = next(a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert all("unsafe" not in rule and "*" not in rule and "http" not in rule for rule in rules.values())
    hashes = set(re.findall(r"sha256-([\w+/=]+)", policy))
    assert {kind[0] for kind, _ in page.raw} == {"script", "style"} == {kind[0] for kind, _ in page.raw}
    assert {base64.b64encode(hashlib.sha256(data.encode()).digest()).decode() for _, data in page.raw} == hashes
    data = [attributes for attributes in page.of("script") if attributes]
    assert data in ([], [{"type": "application/ld+json"}])
    assert len(page.of("script")) - len(data) == len(page.of("style")) == 1
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "foreignobject", "animate", "set")
        for name, value in attributes.items():
            assert name != "style"
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href", "action", "formaction", "srcset", "poster"):
                check_address(tag, attributes, value, path)
    assert len(text.encode()) <= build_lib.PAGE_BYTES
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    return page


def check_address(tag, attributes, value, path):
    if tag in ("img", "image"):
        assert re.match(r"data:image/(webp|jpeg|png);base64,[\w+/=]+\Z", value)
    elif value.startswith("#"):
        assert tag in ("a", "use")
    elif value.startswith("https:"):
        assert "noopener" in attributes["rel"]
    else:
        assert re.match(r"[A-Za-z0-9_./-]+\Z", value)
        assert (path.parent / value).is_file()


def pages_of(out):
    return sorted(path for path in out.rglob("*.html"))


def tree(directory):
    """Every file and directory with its bytes and times."""
    paths = sorted(directory.rglob("*"))
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in [directory, *paths]}


@pytest.fixture(scope="module")
def goldens(tmp_path_factory):
    """The golden datasets, configs among them, and their site."""
    data_dir = tmp_path_factory.mktemp("goldens")
    for name in [*kit.make.names(), *(f"{kind}_{format}" for kind in ("rows", "variants") for format in kit.FORMATS)]:
        kit.copy_golden(name, data_dir)
    before = tree(data_dir)
    out = tmp_path_factory.mktemp("out") / "deep" / "site"
    built = build(data_dir, out)
    after = {path: found for path, found in tree(data_dir).items() if ".catalog" not in path.parts and path != data_dir}
    assert after == {path: found for path, found in before.items() if path != data_dir}
    assert not built.problems
    return data_dir, out, built


def write(data_dir, name="noise", **fields):
    return kit.write_table(data_dir, name, {"train": kit.numbers(6)}, **fields)


def test_every_golden_has_a_page(goldens):
    """Its promises are kept, and it says what the manifest says; the index leads to all of them, and so does the API."""
    data_dir, out, built = goldens
    versions = sorted(path.parent.relative_to(data_dir) for path in data_dir.rglob("manifest.json"))
    assert built.versions == built.written == len(versions)
    assert {path.relative_to(out) for path in pages_of(out)} == {pathlib.Path(f"{path}.html") for path in versions} | {
        pathlib.Path("index.html")
    }
    for path in pages_of(out):
        check_page(path)
    page = check_page(out / "pairs_hdf5" / "1.0.0.html")
    for said in ("(4, 5, 3)", "uint8", "NHWC (4, 5, 3)", "dog house", "Größe", "CC0", "train 53", "h5py"):
        assert said in page.text
    assert {"href": "https://example.org/?a=1&b=2", "rel": "noopener noreferrer"} in page.of("a")
    assert "Stock TFDS" in check_page(out / "text_tfrecord" / "1.0.0.html").text
    datasets = json.loads((out / "catalog.json").read_bytes())["datasets"]
    assert {dataset["page"] for dataset in datasets} == {f"{path}.html" for path in versions}
    links = {a.get("href") for a in check_page(out / "index.html").of("a")}
    newest = {dataset["page"] for dataset in datasets if dataset["tfds_name"] != "variants_hdf5/large:1.0.0"}
    assert newest - {"variants_tfrecord/large/1.0.0.html"} <= links


def test_feed(goldens):
    """The feed is XML that names every version."""
    _, out, built = goldens
    feed = xml.etree.ElementTree.parse(out / "feed.xml").getroot()
    names = {"a": "http://www.w3.org/2005/Atom"}
    assert len(feed.findall("a:entry", names)) == built.versions
    for entry in feed.findall("a:entry", names):
        assert (out / entry.find("a:link", names).get("href")).is_file()


def test_downloads(goldens):
    """Beside every page lie the files for other catalogs; the page links to them, and `catalog.json` says where they are."""
    _, out, _ = goldens
    names = {"croissant.json", "preview.jsonl", "README.md", "CITATION.cff"}
    datasets = json.loads((out / "catalog.json").read_bytes())["datasets"]
    for dataset in datasets:
        assert set(dataset["metadata"]) == names
        page = out / dataset["page"]
        links = {a["href"] for a in check_page(page).of("a")}
        for name, path in dataset["metadata"].items():
            assert (out / path).read_bytes()
            assert f"{dataset['version']}/{name}" in links
            assert (page.parent / dataset["version"] / name).samefile(out / path)


def test_data_for_search_engines(goldens):
    """A page says as schema.org/Dataset what its manifest says, with no date, and nothing else of the site is in it."""
    data_dir, out, _ = goldens
    page = check_page(out / "pairs_hdf5" / "1.0.0.html")
    (text,) = (data for kind, data in page.raw if kind == ["script"] and data.startswith("{"))
    content = json.loads(text)
    assert (content["@context"], content["@type"], content["version"]) == ("https://schema.org/", "Dataset", "1.0.0")
    assert content["description"] == kit.make.CARD["description"]
    assert content["license"] == "https://spdx.org/licenses/CC0-1.0.html"
    assert content["url"] == kit.make.CARD["homepage"]
    assert not re.search(r"date|\b20\d\d-", text, re.IGNORECASE)
    first = content["distribution"][0]
    path = pathlib.Path(first["contentUrl"].removeprefix("file://"))
    assert path.parent == data_dir / "pairs_hdf5" / "1.0.0"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == first["sha256"]


def test_checksums(goldens):
    """The list beside a page is what `sha256sum -c` takes, and finds right."""
    data_dir, out, _ = goldens
    listed = out / "kinds_tfrecord" / "1.0.0.sha256"
    done = subprocess.run(["sha256sum", "-c", "--quiet", listed], cwd=data_dir / "kinds_tfrecord" / "1.0.0", capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    assert len(listed.read_text().splitlines()) == len(list((data_dir / "kinds_tfrecord" / "1.0.0").iterdir())) - 1


def test_configs_and_versions(goldens):
    """Versions stand side by side with what changed, and an older one says that there is a newer one."""
    _, out, _ = goldens
    page = check_page(out / "variants_hdf5" / "large" / "1.1.0.html")
    assert "(-1)" in page.text
    assert "One row less" in page.text
    older = check_page(out / "variants_hdf5" / "large" / "1.0.0.html")
    assert "There is a newer version" in older.text
    assert {"href": "../../index.html"} in older.of("a")


def test_what_changed_between_versions():
    """A table of versions says of each what came, went and changed since the one before it: splits, features, classes, card."""

    def change(directory, **fields):
        return dataclasses.replace(page_lib_manifest(directory), **fields)

    golden = kit.GOLDEN / "pairs_hdf5" / "1.0.0"
    old = change(golden, labels={"label": tuple("abcd")}, card={"license": "MIT", "description": "One"})
    old = dataclasses.replace(old, splits={name: old.splits[name] for name in ("train", "test")})
    new = change(
        golden, version="1.1.0", labels={"label": tuple("abdec")}, card={"license": "CC0 <b>", "description": "Another"},
        splits={"train": old.splits["train"], "extra": old.splits["train"]}, supervised_keys=None,
    )  # fmt: skip
    (now, then) = page_lib.page_of(new, "", "/data", [new, old], None)["versions"]
    assert [(str(split["name"]), split["examples"], split["change"]) for split in now["splits"]] == [
        ("test", None, f"gone, -{old.splits['test'].examples}"),
        ("train", old.splits["train"].examples, ""),
        ("extra", old.splits["train"].examples, "new"),
    ]
    assert str(now["changes"]).split("; ") == [
        "label: e is new", "label: d, c are of another number",
        "as_supervised gives nothing, and gave image, label", "licence: MIT → CC0 <b>", "another description",
    ]  # fmt: skip
    assert then["changes"] == ""
    gone = dataclasses.replace(old, labels={"label": tuple("abc")})
    assert str(page_lib.page_of(gone, "", "/data", [gone, old], None)["versions"][0]["changes"]) == "label: d is gone"
    columns = tuple(dataclasses.replace(column, source_dtype="int32") for column in old.columns)
    other = dataclasses.replace(old, columns=columns)
    told = str(page_lib.page_of(other, "", "/data", [other, old], None)["versions"][0]["changes"])
    assert "label: the loader gave int32, before int64" in told
    assert "image: the loader gave NCHW int32, before NCHW uint8" in told
    shown = page_lib.page_of(new, "", "/data", [new, old], None)
    page = render.render("version.html.j2", **shown, shown=None, charts=None, unread="", downloads=()).decode()
    assert f"gone, -{old.splits['test'].examples}" in page
    assert "CC0 &lt;b&gt;" in page


def test_default_config(tmp_path):
    """Where a dataset has several configs, its pages and the index say which one its name alone stands for, whatever came."""
    data, out = tmp_path / "data", tmp_path / "site"
    write(data, config_name="small")
    build(data, out)
    assert "without a config" not in (out / "noise" / "small" / "1.0.0.html").read_text()
    assert "default config" not in (out / "index.html").read_text()
    write(data, config_name="big")
    assert build(data, out).written == 2
    assert "noise without a config is this one." in said(out / "noise" / "big" / "1.0.0.html")
    assert "noise without a config is the config big ." in said(out / "noise" / "small" / "1.0.0.html")
    index = (out / "index.html").read_text()
    assert index.count("default config") == 1
    assert index.index('data-name="noise/big"') < index.index("default config") < index.index('data-name="noise/small"')
    assert json.loads((out / "catalog.json").read_bytes())["datasets"][1]["default_config"] == "big"
    write(data)
    build(data, out)
    assert "noise without a config is the versions that have none." in said(out / "noise" / "big" / "1.0.0.html")


def said(path):
    """The text of a page, in a line."""
    return " ".join(check_page(path).text.split())


def test_totals_of_the_index(tmp_path):
    """The index says of which versions its examples and its bytes are, and counts a dataset once, be a version of it damaged."""
    data, out = tmp_path / "data", tmp_path / "site"
    size = sum(file.bytes for file in page_lib_manifest(write(data)).files)
    build(data, out)
    assert f"1 dataset, 6 examples, {render.size(size)}." in said(out / "index.html")
    size += sum(file.bytes for file in page_lib_manifest(write(data, version="1.1.0")).files)
    (write(data, version="1.2.0") / "manifest.json").write_text("{")
    build(data, out)
    told = f"1 dataset in 2 versions, 6 examples in the newest ones, {render.size(size)} in all versions."
    assert told in said(out / "index.html")


def test_licences_of_the_index(tmp_path):
    """A licence under several names is one choice of the index; words of one's own are themselves."""
    data, out = tmp_path / "data", tmp_path / "site"
    for number, licence in enumerate(["MIT", "MIT License", "The MIT License", "ask us"]):
        write(data, f"noise{number}", card={"license": licence})
    build(data, out)
    values = [attributes.get("value") for attributes in check_page(out / "index.html").of("option")]
    assert [value for value in values if value in ("MIT", "MIT License", "The MIT License", "ask us")] == ["MIT", "ask us"]
    assert "MIT (3)" in said(out / "index.html")


def test_unchanged(tmp_path):
    """A second build makes nothing again, touches no file, and needs no template."""
    write(tmp_path / "data")
    out = tmp_path / "site"
    assert build(tmp_path / "data", out).written == 1
    before = tree(out)
    assert build(tmp_path / "data", out).written == 0
    assert tree(out) == before


CHANGES = ["version", "config", "removed", "shown", "lost page", "lost download", "damaged state", "overwritten"]


@pytest.mark.parametrize("change", CHANGES)
def test_changed(tmp_path, change):
    """What changed is made again, what is gone is removed, and nothing of the user's is."""
    data, out = tmp_path / "data", tmp_path / "site"
    first = write(data)
    write(data, "other")
    build(data, out)
    (out / "noise" / "notes.txt").write_text("mine")
    (out / "theirs.html").write_text("mine")
    (out / "other" / "1.0.0" / "notes.txt").write_text("mine")
    expected, options = 1, {}
    if change == "version":
        write(data, version="1.0.1")
        expected = 2  # and the older one, which now says so
    elif change == "config":
        write(data, config_name="small")
        expected = 2  # and the one without a config, which the name alone stands for
    elif change == "removed":
        os.rename(first, tmp_path / "away")
        expected = 0
    elif change == "shown":
        expected, options = 2, {"data_dir_shown": "/elsewhere"}
    elif change == "lost page":
        (out / "noise" / "1.0.0.html").unlink()
    elif change == "lost download":
        (out / "noise" / "1.0.0" / "README.md").unlink()
    elif change == "damaged state":
        (out / "noise" / "1.0.0.json").write_text("{")
    else:
        kit.edit_manifest(first, lambda content: content["card"].update(description="Quite another"))
    assert build(data, out, **options).written == expected
    assert build(data, out, **options).written == 0
    assert (out / "noise" / "notes.txt").exists()
    assert (out / "theirs.html").exists()
    assert (out / "other" / "1.0.0" / "notes.txt").exists()
    assert (out / "noise" / "1.0.0.html").exists() == (change != "removed")
    assert (out / "noise" / "1.0.0").is_dir() == (change != "removed")
    assert (out / "other" / "1.0.0" / "README.md").is_file()
    index = (out / "index.html").read_text()
    assert ("noise/1.0.0.html" in index) == (change not in ("version", "removed"))
    assert ("noise/small/1.0.0.html" in index) == (change == "config")
    if change == "shown":
        assert "register(&#39;/elsewhere&#39;)" in (out / "noise" / "1.0.0.html").read_text()
    if change == "overwritten":
        assert "Quite another" in (out / "noise" / "1.0.0.html").read_text()


def test_hostile_text(tmp_path):
    """Text in every field that a manifest has is shown as text: nothing of it becomes an element, an attribute or an address."""
    data, out = tmp_path / "data", tmp_path / "site"
    card = {key: f"{kit.ATTACK} {key}" for key in ("description", "homepage", "citation", "license")}
    name = 'x"><script>alert(1)</script>'
    columns = {name: np.arange(4), "{{ 7 * 7 }}": np.arange(4)}
    kit.write_table(
        data, "noise", {"train": columns}, card=card, config_name="evil", config_description=kit.ATTACK,
        release_notes={"1.0.0": kit.ATTACK, "2.0.0": kit.ATTACK},
        decisions=(kit.ATTACK, *kit.ATTACKS), producer=kit.ATTACK, labels={},
        hazards=(ToldHazard(kit.ATTACK, kit.ATTACK, kit.ATTACK),),
    )  # fmt: skip
    kit.write_table(data, "link", {"train": columns}, card={**card, "homepage": "javascript:alert(1)"})
    built = build(data, out, data_dir_shown=kit.ATTACK)
    assert not built.problems
    for path in pages_of(out):
        page = check_page(path)
        assert not {tag for tag, _ in page.elements} & {"img", "svg:script"}
        assert all(attributes["href"].startswith((".", "#")) or "://" not in attributes["href"] for attributes in page.of("a"))
        assert "49" not in re.sub(r"\d{3,}", "", page.text) or "7 * 7" in page.text
        assert not re.search("[\x00-\x08\x0b\x1b\u202e]", path.read_text("utf-8"))
    page = check_page(out / "noise" / "evil" / "1.0.0.html")
    (text,) = (data for kind, data in page.raw if kind == ["script"] and data.startswith("{"))
    assert json.loads(text)["citation"] == clean(f"{kit.ATTACK} citation")
    for said in (*kit.ATTACKS[:4], "\\u202eevil\\x1b[2J\\x00", *card):
        assert said in page.text
    xml.etree.ElementTree.parse(out / "feed.xml")
    for path in [out / "catalog.json", out / "noise" / "evil" / "1.0.0.json"]:
        json.loads(path.read_bytes())


def test_huge(tmp_path):
    """A description of 10 MB, hundreds of features, thousands of decisions: a page under a megabyte that says what is cut."""
    data, out = tmp_path / "data", tmp_path / "site"
    quotes = '"' * 500
    directory = kit.write_table(
        data, "noise", {"train": {f"{quotes[:80]}{number}": np.zeros((2, 1)) for number in range(400)}},
        card={"description": '"' * 8000 + "a" * 9_992_000, "citation": '"' * 100_000, "license": '"' * 100_000},
        decisions=(quotes,) * 5000,
        release_notes={f"1.0.{number}": quotes * 10 for number in range(200)}, producer=quotes,
    )  # fmt: skip
    assert directory.is_dir()
    assert not build(data, out).problems
    page = check_page(out / "noise" / "1.0.0.html")
    assert "9,992,000 more characters are not shown" in page.text
    assert "250 more features are not shown" in page.text
    assert "4,850 more are not shown" in page.text
    check_page(out / "index.html")


def test_many_classes(tmp_path):
    """Of 100,000 class names some are shown, and it is said how many are not."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path / "data")
    manifest = page_lib_manifest(directory)
    names = [f"class {number} <b>" for number in range(100_000)]
    shown = page_lib.page_of(dataclasses.replace(manifest, labels={"label": names}), "", "/data", [manifest], None)
    page = render.render("version.html.j2", **shown, shown=None, charts=None, unread="", downloads=())
    assert len(page) < build_lib.PAGE_BYTES
    assert b"99,700 more are not shown" in page


def page_lib_manifest(directory):
    from tfds_builder.catalog.read import read_manifest

    return read_manifest(directory)


def test_what_cannot_be_read(tmp_path):
    """A damaged manifest, one of another place: a row that says so, and the pages of all others."""
    data, out = tmp_path / "data", tmp_path / "site"
    write(data)
    broken, moved = write(data, "broken"), write(data, "moved")
    (broken / "manifest.json").write_bytes(b"{}" * 20)
    os.rename(moved.parent, data / "renamed")
    built = build(data, out)
    assert built.versions == 1
    assert set(built.problems) == {"broken:1.0.0", "renamed:1.0.0"}
    page = check_page(out / "index.html")
    assert "is damaged" in page.text or "is not valid JSON" in page.text
    assert "holds the manifest of moved/1.0.0" in page.text
    assert build(data, out).written == 0


def test_verify(tmp_path):
    """Pages say when a version was verified, by whom and what was found, until the version is another one."""
    data, out = tmp_path / "data", tmp_path / "site"
    directory, bad = (kit.copy_golden(name, data) for name in ("pairs_tfrecord", "coded_tfrecord"))
    shard = next(bad.glob("*.tfrecord-*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    assert "not yet" in build_and_read(data, out, "pairs_tfrecord")
    built = build(data, out, verify=True, verified_by="me <1>")
    assert list(built.damaged) == ["coded_tfrecord:1.0.0"]
    assert shard.name in built.damaged["coded_tfrecord:1.0.0"][0]
    assert built.verified == 2
    page = check_page(out / "pairs_tfrecord" / "1.0.0.html").text
    assert "✓ whole" in page
    assert "me <1>" in page
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", page)
    assert "SHA-256" in check_page(out / "coded_tfrecord" / "1.0.0.html").text
    assert "✗ 2 problems" in check_page(out / "coded_tfrecord" / "1.0.0.html").text
    assert build(data, out).written == 0  # and it is still known
    known = (out / "verified.json").read_text()
    (out / "verified.json").write_text(known.replace('"when"', '"then"'))
    assert "not yet" in build_and_read(data, out, "pairs_tfrecord")  # what was damaged is not believed
    (out / "verified.json").write_text(known)
    assert "not yet" not in build_and_read(data, out, "pairs_tfrecord")
    kit.edit_manifest(directory, lambda content: content["card"].update(description="new"))
    assert "not yet" in build_and_read(data, out, "pairs_tfrecord")


def test_many_problems(tmp_path):
    """Of very many problems the first are shown, and all are counted."""
    data, out = tmp_path / "data", tmp_path / "site"
    directory = kit.write_table(data, "noise", {"train": kit.numbers(60)}, rows_per_shard=2)
    for shard in directory.glob("*.h5"):
        shard.unlink()
    built = build(data, out, verify=True)
    assert len(built.damaged["noise:1.0.0"]) == 21
    assert built.damaged["noise:1.0.0"][-1] == "and 10 more problems"
    page = said(out / "noise" / "1.0.0.html")
    assert "✗ 30 problems" in page
    assert "10 more are not shown" in page


def build_and_read(data, out, name):
    build(data, out)
    return check_page(out / name / "1.0.0.html").text


@pytest.mark.parametrize("where", ["version", "below a version", "data_dir", "documents", "file"])
def test_where_no_site_may_be(tmp_path, where):
    """Not in a version, not where other files lie: what is there stays as it was."""
    data = tmp_path / "data"
    directory = write(data)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "index.html").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    out = {"version": directory, "below a version": directory / "site", "data_dir": data}.get(where, tmp_path / where)
    with pytest.raises((SiteError, OSError)):
        build(data, out)
    assert tree(tmp_path) == before


def test_default_place(tmp_path):
    """The site lies in the data_dir under a name that no dataset can have, and is no dataset."""
    write(tmp_path)
    built = build(tmp_path)
    assert built.index == str(tmp_path / "_catalog" / "index.html")
    assert build(tmp_path).versions == 1
    with pytest.raises(MissingFileError):
        build(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_site_of_another_data_dir(tmp_path):
    """Another data_dir is not built over a site: no page is lost, and the error says how to go on; a site moves with its own."""
    write(tmp_path / "a")
    write(tmp_path / "b", "other")
    site = tmp_path / "site"
    build(tmp_path / "a", site, data_dir_shown="/ours")
    before = tree(site)
    with pytest.raises(SiteError, match=r"is the catalog of /ours.*remove .*\.data_dir"):
        build(tmp_path / "b", site)
    assert tree(site) == before
    assert str(tmp_path).encode() not in (site / ".data_dir").read_bytes()
    os.symlink(tmp_path / "a", tmp_path / "link")
    assert build(tmp_path / "link", site, data_dir_shown="/ours").written == 0
    os.rename(tmp_path / "a", tmp_path / "moved")
    with pytest.raises(SiteError):
        build(tmp_path / "moved", site)
    (site / ".data_dir").unlink()
    assert build(tmp_path / "moved", site, data_dir_shown="/ours").written == 0
    build(tmp_path / "moved")
    os.rename(tmp_path / "moved", tmp_path / "again")
    assert build(tmp_path / "again").versions == 1


def test_two_at_once(tmp_path):
    """While one builds a site another one says so; it goes on when the first is done."""
    write(tmp_path / "data")
    out = Directory.at(tmp_path / "site")
    build(tmp_path / "data", out)
    with out.locked(".lock"), pytest.raises(SiteError, match="another process"):
        build(tmp_path / "data", out)
    assert build(tmp_path / "data", out).written == 0


def test_stopped(tmp_path, monkeypatch):
    """A build that was stopped leaves whole pages as far as it went; the next one goes on, and removes what was begun."""
    for name in ("a", "b", "c"):
        write(tmp_path / "data", name)
    out = tmp_path / "site"
    real, calls = os.replace, []

    def stop(source, target):
        calls.append(os.path.basename(target))
        if calls.count("1.0.0.html") == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "data", out)
    monkeypatch.undo()
    assert not (out / "index.html").exists()
    left = out / "a" / f".1.0.0.html.{'0' * 16}.incomplete"  # as one that was killed leaves
    left.write_text("half")
    assert build(tmp_path / "data", out).written == 2
    assert not left.exists()
    check_page(out / "index.html")


def test_without_jinja(tmp_path, run_python):
    """Where Jinja is not installed, the error has the line that installs it."""
    write(tmp_path / "data")
    code = """
        import sys
        sys.modules["jinja2"] = None
        from tfds_builder.site.build import build
        try:
            build(sys.argv[1])
        except ImportError as error:
            print(type(error).__name__, error)
    """
    told = 'the catalog\'s pages need Jinja and Pillow: in a clone of torch2tfds, pip install ".[catalog]"'
    assert run_python(code, tmp_path / "data").stdout.strip() == f"{MissingPackageError.__name__} {told}"


def test_snippets_are_python(goldens):
    """Every snippet of every golden dataset is Python, or shell, with whatever name."""
    data_dir, _, _ = goldens
    for path in data_dir.rglob("manifest.json"):
        manifest = page_lib_manifest(path.parent)
        for place in (str(data_dir), '/it\'s "here"\n$(rm)', "https://example.org/'\n$(rm)"):
            for title, code in snippets(manifest, place):
                if title != "Command line":
                    compile(code, title, "exec")
                else:
                    assert "$(rm)" not in code.replace("'", "") or "'" in code


def test_snippets_of_a_url(golden):
    """Where readers know the data_dir by a URL, which nothing reads, the lines are for a copy of it, and say so."""
    for title, code in snippets(page_lib_manifest(golden / "pairs_hdf5" / "1.0.0"), "https://example.org/data"):
        first, _, rest = code.partition("\n")
        assert first == "# 'data' is your copy of 'https://example.org/data': URLs are not read", title
        assert "data" in rest
        assert "example.org" not in rest


def test_snippets_of_episodes(golden):
    """Datasets in a dataset are not batched by TensorFlow, and not stacked by anybody."""
    manifest = page_lib_manifest(golden / "pairs_tfrecord" / "1.0.0")
    steps = tfds.features.FeaturesDict({"steps": tfds.features.Dataset({"action": np.float32})})
    found = dict(snippets(dataclasses.replace(manifest, features=features_to_json(steps)), "/data"))
    assert "batch_size" not in found["TensorFlow"]
    assert "collate_fn=list" in found["PyTorch"]
    assert "batch_fn=list" in found["Grain (JAX)"]


@pytest.mark.needs_torch
@kit.both_formats
def test_snippets_of_rows_that_differ(goldens, format):
    """The lines for PyTorch and Grain go over examples that differ in size; of those that do not, they give arrays."""
    data_dir, _, _ = goldens
    for name, count in ((f"rows_{format}", None), (f"pairs_{format}", len(("image", "label")))):
        manifest = page_lib_manifest(data_dir / name / "1.0.0")
        found = dict(snippets(manifest, str(data_dir)))
        names = {}
        exec(found["PyTorch"], names)
        (batch,) = names["loader"]
        assert len(batch) == (count or manifest.splits["train"].examples)
        if importlib.util.find_spec("grain"):
            exec(found["Grain (JAX)"], names)
            assert len(next(iter(names["train"]))) == (count or manifest.splits["train"].examples)


@pytest.mark.needs_tensorflow
def test_snippets_load(goldens, run_python):
    """What a page says to load it with loads it, in both formats."""
    pytest.importorskip("h5py")
    data_dir, _, _ = goldens
    lines = []
    for format in kit.FORMATS:
        manifest = page_lib_manifest(data_dir / f"pairs_{format}" / "1.0.0")
        found = dict(snippets(manifest, str(data_dir)))
        lines += [found["TensorFlow"], "print(train.element_spec[0].shape)", found["NumPy"]]
        lines += ["print(example['image'].shape, columns['label'].shape)"]
        lines += [found.get("h5py") or found["Stock TFDS"]]
    lines += ["print(len(list(dataset)), values.shape)"]
    expected = ["(None, 4, 5, 3)", "(4, 5, 3) (53,)"]
    assert run_python("\n".join(lines)).stdout.splitlines() == [*expected, *expected, "53 (21, 4, 5, 3)"]
