"""`tfds_builder.catalog.location`: a folder that is too high or too deep is told as such, with the one that was meant."""

import pathlib
import re

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.catalog import location
from tfds_builder.catalog.survey import scan
from tfds_builder.contract.directory import Directory
from tfds_builder.errors import DatasetWarning, ManifestError, MissingFileError

ONE = {"train": kit.numbers(3)}


@pytest.fixture
def home(tmp_path):
    """A folder with a data_dir in it: a dataset without configs, and one with two, of which one's name no dataset could have."""
    data_dir = tmp_path / "home" / "shared"
    kit.write_table(data_dir, "animals", ONE)
    kit.write_table(data_dir, "animals", ONE, version="1.1.0")
    for config in ("small", "Big-2"):
        kit.write_table(data_dir, "noise", ONE, config_name=config)
    return tmp_path / "home"


@pytest.mark.parametrize("use", [tfds_builder.register, scan], ids=["register", "scan"])
@pytest.mark.parametrize(("place", "what"), [
    (".", "lies above the data_dir"), ("..", "lies above the data_dir"), ("shared/animals", "is the folder of dataset 'animals'"),
    ("shared/animals/1.0.0", "is version 1.0.0 of dataset 'animals'"), ("shared/noise", "is the folder of dataset 'noise'"),
    ("shared/noise/small", "is the folder of dataset 'noise/small'"),
    ("shared/noise/Big-2/1.0.0", "is version 1.0.0 of dataset 'noise/Big-2'"),
    ("shared/noise/Big-2/1.0.0/manifest.json", "lies in version 1.0.0 of dataset 'noise/Big-2'"),
])  # fmt: skip
def test_no_data_dir(place, what, use, home):
    """A folder above the data_dir or in it registers nothing; the error says what it is, and the line that follows it works."""
    with pytest.raises(MissingFileError) as raised:
        use(home / place)
    assert what in str(raised.value)
    (meant,) = re.findall(r"pass (\S+) \(it has ", str(raised.value))
    assert tfds_builder.register(meant) == ["animals", "noise"]
    with pytest.raises(tfds.core.DatasetNotFoundError):
        tfds.load("shared")


@pytest.mark.parametrize("versions", ["animals", "noise/small"])
def test_above_one_dataset(versions, tmp_path):
    """A folder above is told by what looks like a config (`shared/animals`), and by configs, which lie deeper."""
    name, _, config = versions.partition("/")
    kit.write_table(tmp_path / "shared", name, ONE, config_name=config)
    with pytest.raises(MissingFileError, match=rf"pass {tmp_path / 'shared'} \(it has {name}\)"):
        tfds_builder.register(tmp_path)


@pytest.mark.parametrize(
    "place", ["", "shared", "shared/animals", "shared/noise", "shared/noise/small", "shared/animals/1.0.0/x"]
)
@pytest.mark.parametrize("use", [
    tfds_builder.verify, tfds_builder.generate, tfds_builder.builder_from_directory, tfds_builder.catalog.location.read_given,
])  # fmt: skip
def test_no_version_directory(use, place, home):
    """What asks for a version directory and is given a folder above or in it names version directories, which do."""
    with pytest.raises(MissingFileError, match="and not a version directory: pass ") as raised:
        raise MissingFileError("; ".join(map(str, use(home / place).problems)))  # what `verify` says
    meant = re.findall(r"/\S+/\d\.\d\.\d\b", str(raised.value).partition(": pass ")[2])
    assert 1 <= len(meant) <= 3
    for path in meant:
        assert tfds_builder.builder_from_directory(path).info.splits["train"].num_examples == 3
        assert pathlib.Path(path).is_relative_to(home / place.removesuffix("/x"))


def test_data_dir_in_a_data_dir(home):
    """Datasets beside a data_dir of its own are registered; that data_dir, which looks like a dataset, is named and left out."""
    kit.write_table(home, "toys", {"train": kit.numbers(3, 50)})
    with pytest.warns(DatasetWarning, match=rf"shared is no dataset of .*: pass {home / 'shared'} \(it has animals and noise\)"):
        assert tfds_builder.register(home) == ["toys"]
    with pytest.warns(DatasetWarning, match="no dataset of"):
        assert [entry.tfds_name for entry in scan(home)] == ["toys:1.0.0"]


def test_data_dir_that_is_a_link(home, tmp_path):
    """A data_dir may be a link, also to a folder that is none: then the folder that was meant is told all the same."""
    (tmp_path / "good").symlink_to(home / "shared")
    (tmp_path / "deep").symlink_to(home / "shared" / "animals")
    assert tfds_builder.register(tmp_path / "good") == ["animals", "noise"]
    with pytest.raises(MissingFileError, match=rf"pass {home / 'shared'} \(it has animals\)"):
        tfds_builder.register(tmp_path / "deep")


def test_dataset_that_is_a_link(home, tmp_path):
    """A link in a dataset's place is passed over and named; what it leads to can be read by its path."""
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "animals").symlink_to(home / "shared" / "animals")
    with pytest.warns(DatasetWarning) as caught:
        assert tfds_builder.register(tmp_path / "links") == []
    assert "symbolic links are not followed" in str(caught[0].message)
    assert "animals" in str(caught[0].message)
    assert tfds_builder.builder_from_directory(tmp_path / "links" / "animals" / "1.0.0").name == "animals"


@pytest.mark.parametrize("url", ["s3://bucket/data", "gs://bucket/data", "https://example.org/data"])
@pytest.mark.parametrize("as_path", [str, pathlib.Path])
def test_url(as_path, url):
    """A URL is called one, wherever a path is asked for, with its two slashes, and what to do instead is said."""
    for use in (tfds_builder.register, tfds_builder.verify, tfds_builder.builder_from_directory):
        with pytest.raises(MissingFileError, match=f"^{url} is a URL, and URLs are not read yet: copy"):
            use(as_path(url))


def test_registered_and_loaded_from_a_url(home):
    """A registered dataset asked for with `data_dir=` a URL says the same."""
    tfds_builder.register(home / "shared")
    with pytest.raises(MissingFileError, match="URLs are not read yet"):
        tfds.load("animals", data_dir="memory://bucket/data")


def test_renamed_dataset(home):
    """A dataset under another name is an error that says so, and tells nobody to move anything into a good data_dir."""
    (home / "shared" / "animals").rename(home / "shared" / "beasts")
    assert tfds_builder.register(home / "shared") == ["beasts", "noise"]
    with pytest.raises(ManifestError, match="a dataset is not renamed by renaming its folders: call them as the manifest does"):
        tfds.load("beasts")


def test_class_of_the_folder_above(home):
    """A builder class told the wrong data_dir names the right one when it reads what lies there."""

    class Shared(tfds_builder.ExportedBuilder, skip_registration=True):
        name = "shared"
        DATA_DIR = home

    with pytest.raises(ManifestError, match=f"is a dataset of data_dir {home / 'shared'}, and not of {home}: pass"):
        Shared()


def test_damaged_manifests_stay_datasets(home):
    """A manifest that says nothing is no reason to take its folder for another: it stays what its place says."""
    for path in (home / "shared" / "animals").glob("*/manifest.json"):
        path.write_text("{")
    assert tfds_builder.register(home / "shared") == ["animals", "noise"]


def test_search_is_bounded(home, monkeypatch):
    """What is meant is looked for in so many directories, and no more."""
    for number in range(30):
        (home / "other" / f"a{number}").mkdir(parents=True)
    monkeypatch.setattr(location, "_DIRECTORIES", 3)
    looked = []
    monkeypatch.setattr(location, "list_directories", lambda path: looked.append(path) or ["other"])
    assert list(location.find_versions(Directory.at(home / "other"))) == []
    assert len(looked) == 3
