"""What TFDS asks of this process's builders: their names, with and without the namespace."""

import os

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.errors import MissingFileError


@pytest.fixture
def no_community(monkeypatch):
    """TFDS's own namespaces list nothing: they would ask the network."""
    from tensorflow_datasets.core.community import register_package, register_path

    for register in (register_package.PackageRegister, register_path.DataDirRegister):
        monkeypatch.setattr(register, "list_builders", lambda self: [])


def test_list_builders(data_dir, no_community):
    """`tfds.list_builders()` has the registered names beside TFDS's own, and every one of them loads by that name."""
    tfds_builder.register(data_dir)
    assert {"alpha", "beta", "mnist"} <= set(tfds.list_builders())
    assert "alpha" not in tfds.list_builders(with_community_datasets=False)
    references = {ref.tfds_name(): ref.data_dir for ref in tfds_builder.finding.provider.catalog.list_dataset_references()}
    assert references.items() >= {f"torch2tfds:{name}": os.fspath(data_dir) for name in ("alpha", "beta")}.items()


@pytest.mark.parametrize(("name", "row"), [
    ("torch2tfds:alpha", 0), ("torch2tfds:beta", 30), ("torch2tfds:beta:1.0.0", 10), ("torch2tfds:beta:1.2.*", 20),
])  # fmt: skip
def test_namespace(name, row, data_dir):
    """`torch2tfds:` before a registered name says the same, with a version too; `tfds.builder_cls` takes it as well."""
    tfds_builder.register(data_dir)
    assert kit.first_row(name) == row
    assert issubclass(tfds.builder_cls(":".join(name.split(":")[:2])), tfds_builder.ExportedBuilder)


def test_namespace_of_an_unknown_name(data_dir):
    """A name in the namespace that is not registered is TFDS's own error, and says what is."""
    tfds_builder.register(data_dir)
    for use in (tfds.builder_cls, tfds.load):
        with pytest.raises(tfds.core.DatasetNotFoundError, match=r":gamma not found\. .* knows torch2tfds:alpha and .*beta"):
            use("torch2tfds:gamma")


def test_a_namespace_of_ones_own(data_dir, tmp_path, no_community):
    """A dataset of one name in two directories is told apart by a namespace, and is not known without it; every reader and
    TFDS's list take the name."""
    other = tmp_path / "other"
    kit.write_table(other, "alpha", {"train": kit.numbers(4, 70)})
    tfds_builder.register(data_dir)
    assert tfds_builder.register(other, namespace="vision") == ["alpha"]
    assert tfds_builder.register(data_dir, namespace="more-1") == ["alpha", "beta"]
    assert [kit.first_row(name) for name in ("alpha", "vision:alpha", "vision:alpha:1.0.0", "more-1:beta:1.2.*")] == [
        0,
        70,
        70,
        20,
    ]
    assert int(tfds.data_source("vision:alpha", split="train")[0]["row"]) == 70
    assert tfds_builder.statistics("vision:alpha", split="train")["row"].mean == 71.5
    assert {"alpha", "vision:alpha", "more-1:beta"} <= set(tfds.list_builders())
    assert "vision:beta" not in tfds.list_builders()
    with pytest.raises(
        tfds.core.DatasetNotFoundError, match=r"vision:alfa not found.* knows vision:alpha, .*Did you mean vision:alpha\?"
    ):
        tfds.load("vision:alfa")
    tfds_builder.register(data_dir, namespace="vision")
    assert kit.first_row("vision:alpha") == 0


@pytest.mark.needs_torch
def test_as_torch_of_a_namespace(data_dir, tmp_path):
    """`as_torch` reads the dataset of the namespace that is named, and takes no other's for it."""
    kit.write_table(tmp_path / "other", "alpha", {"train": kit.numbers(4, 70)})
    tfds_builder.register(data_dir)
    tfds_builder.register(tmp_path / "other", namespace="vision")
    names = ("alpha", "torch2tfds:alpha", "vision:alpha", "vision:alpha:1.0.0")
    assert [int(tfds_builder.as_torch(name, split="train")[0]["row"]) for name in names] == [0, 0, 70, 70]
    for unknown in ("kubric:alpha", "vision:beta", "nobody:alpha"):
        with pytest.raises(MissingFileError, match="neither a registered dataset"):
            tfds_builder.as_torch(unknown, split="train")


def test_only_in_a_namespace(data_dir):
    """What is registered in a namespace only is no plain name."""
    kit.write_table(data_dir, "gamma", {"train": kit.numbers(4)})
    tfds_builder.register(data_dir, namespace="only")
    assert kit.first_row("only:gamma") == 0
    with pytest.raises(tfds.core.DatasetNotFoundError):
        tfds.load("gamma")


@pytest.mark.parametrize(("namespace", "word"), [
    ("", "letters"), ("a:b", "letters"), ("a b", "letters"), ("\u00fc", "letters"), ("huggingface", "TFDS's own"),
    ("kubric", "TFDS's own"),
])  # fmt: skip
def test_a_namespace_that_cannot_be(namespace, word, data_dir):
    """A namespace that TFDS would not take, or has itself, is refused."""
    with pytest.raises(ValueError, match=word):
        tfds_builder.register(data_dir, namespace=namespace)


def test_the_namespace_of_register(data_dir):
    """`namespace="torch2tfds"` is what `register` does without one."""
    assert tfds_builder.register(data_dir, namespace="torch2tfds") == ["alpha", "beta"]
    assert (kit.first_row("alpha"), kit.first_row("torch2tfds:beta")) == (0, 30)
