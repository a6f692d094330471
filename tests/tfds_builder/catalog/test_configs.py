"""Several configs of one dataset, several versions of each: found, named, loaded, and trusted no more than anything else."""

import ast
import copy
import importlib.util
import json
import pathlib
import pickle
import shutil

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.dataset_builder import load_default_config_name

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.builder_module import render
from tfds_builder.catalog.survey import scan
from tfds_builder.errors import DatasetError, ManifestError

ROWS = {
    "only/large:1.0.0": 10, "only/large:1.2.0": 20, "only/large:1.10.0": 30, "only/small:2.0.0": 40, "only/small:1.0.0": 50,
    "mixed:1.0.0": 60, "mixed/b:1.0.0": 70, "mixed/a:3.0.0": 80, "plain:1.0.0": 90,
}  # fmt: skip
"""Every published version, as `tfds.load` calls it, and the number of its first row."""
NOTES = {"1.0.0": "First.", "1.10.0": "More: 'quoted'\nlines"}
HOSTILE_TEXTS = [
    '"""', "'''", "\\", '\\"""\nimport os', "\n", '""" + __import__("os").system("x") + """', "${name}", "{0}", "\0", "\u2028",
    "\x1b[2J", "\N{RIGHT-TO-LEFT OVERRIDE}", "#", "'); x = ('", "../../x",
]  # fmt: skip


def publish(root, tfds_name, row, **fields):
    path, _, version = tfds_name.partition(":")
    name, _, config = path.partition("/")
    description = f"Rows from {row}." if config else ""
    fields = {"config_name": config, "config_description": description, "release_notes": NOTES if config else {}, **fields}
    return kit.write_table(root, name, {"train": kit.numbers(4, row)}, version=version, **fields)


@pytest.fixture
def data_dir(tmp_path):
    """Three datasets: one of configs only, one with and without, one without."""
    root = tmp_path / "catalog"
    for name, row in ROWS.items():
        publish(root, name, row)
    return root


def first_row(name, **options):
    return int(next(iter(tfds.load(name, split="train", **options).as_numpy_iterator()))["row"])


def problems(directory):
    """Files that `verify` finds something wrong with; the shards of these tests are tables without the rest of HDF5."""
    return [problem.file for problem in tfds_builder.verify(directory).problems if not problem.file.endswith(".h5")]


# --- loading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "row"), [
    *ROWS.items(), ("only", 30), ("only/large", 30), ("only/small", 40), ("only:1.2.0", 20), ("only:1.*.*", 30),
    ("only/large:1.2.*", 20), ("only/small:1.*.*", 50), ("mixed", 60), ("mixed/a", 80), ("mixed/b", 70), ("plain", 90),
    ("Only/small", 40),
])  # fmt: skip
def test_names(name, row, data_dir):
    """`name`, `name/config`, each with a version, a pattern or the newest: the default is what has no config, or the first."""
    assert tfds_builder.register(data_dir) == ["mixed", "only", "plain"]
    assert first_row(name) == row


@pytest.mark.parametrize(
    "name", ["only/medium", "only/medium:1.0.0", "mixed/c", "plain/a", "only/1.0.0", "only/Large", "only/large."]
)
@pytest.mark.parametrize("with_data_dir", [False, True])
def test_config_that_is_not_there(name, with_data_dir, data_dir):
    """An unknown config is a ValueError, as in TFDS, that lists the configs there are and their versions."""
    tfds_builder.register(data_dir)
    with pytest.raises(ValueError, match="has no config") as caught:
        tfds.load(name, **({"data_dir": data_dir} if with_data_dir else {}))
    if name.startswith("only"):
        assert "large: 1.10.0, 1.2.0, 1.0.0; small: 2.0.0, 1.0.0" in str(caught.value)
    else:
        assert "without a config: 1.0.0" in str(caught.value)


@pytest.mark.parametrize("name", ["only/small:1.10.0", "only/small:3.*.*", "only:2.0.0", "mixed:3.0.0"])
def test_version_that_is_not_there(name, data_dir):
    """A version of another config is an AssertionError, as in TFDS, that lists what there is, not that other config's version."""
    tfds_builder.register(data_dir)
    with pytest.raises(AssertionError, match=r"only|mixed") as caught:
        tfds.load(name)
    assert ("small: 2.0.0, 1.0.0" if name.startswith("only") else "a: 3.0.0") in str(caught.value)


def test_the_error_is_of_the_type_stock_raises():
    """TFDS raises a ValueError for a config, and an AssertionError for a version, that a dataset of its own has not."""

    class Stock(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="a")]  # noqa: RUF012 (as TFDS has it)

        def _info(self):
            return tfds.core.DatasetInfo(builder=self)

        def _split_generators(self, *_):
            return {}

        def _generate_examples(self):
            yield 0, {}

    with pytest.raises(ValueError, match="not found"):
        Stock(config="b")
    with pytest.raises(AssertionError, match=r"9\.0\.0"):
        Stock(config="a", version="9.0.0")


def test_info(data_dir):
    """`builder.info` has the config's name and description and the release notes; `versions` are those of the config."""
    tfds_builder.register(data_dir)
    builder = tfds.builder("only/large")
    info = builder.info
    assert (info.full_name, info.config_name, info.config_description) == ("only/large/1.10.0", "large", "Rows from 30.")
    assert info.release_notes == builder.release_notes == NOTES
    assert [str(version) for version in builder.versions] == ["1.10.0", "1.2.0", "1.0.0"]
    assert str(builder.canonical_version) == "1.10.0"
    assert tfds.builder("only/large:1.0.0").info.config_description == "Rows from 10."
    assert tfds.builder("only/large:1.0.0").builder_config.description == "Rows from 10."
    assert 'config_description="""' in repr(info)
    assert builder.get_reference().tfds_name() == "only/large:1.10.0"
    assert builder.data_path == tfds.core.Path(data_dir / "only" / "large" / "1.10.0")
    for name in ("mixed", "plain"):
        builder = tfds.builder(name)
        assert (builder.info.full_name, builder.builder_config, builder.info.release_notes) == (f"{name}/1.0.0", None, {})


def test_builder_configs(data_dir):
    """`builder_configs`, of a builder and of its class, are what is published, the default first, each with its description."""
    tfds_builder.register(data_dir)
    builder = tfds.builder("only/small")
    for owner in (builder, type(builder)):
        configs = owner.builder_configs
        assert [(name, config.name, config.version) for name, config in configs.items()] == [
            ("large", "large", "1.10.0"), ("small", "small", "2.0.0"),
        ]  # fmt: skip
        assert [config.description for config in configs.values()] == ["Rows from 30.", "Rows from 40."]
        assert configs["large"].release_notes == NOTES
        assert [config.name for config in owner.BUILDER_CONFIGS] == list(configs)
    assert type(builder).default_builder_config.name == "large"
    assert (builder.builder_config.name, builder.builder_config.supported_versions) == ("small", ["1.0.0"])
    assert tfds.builder("plain").builder_configs == {}
    assert list(tfds.builder("mixed").builder_configs) == ["", "a", "b"]
    assert tfds_builder.ExportedBuilder.builder_configs == {}


def test_config_objects(data_dir):
    """`config=` takes a name, a BuilderConfig of the builder or of TFDS, and "" for what has none; else it is a ValueError."""
    tfds_builder.register(data_dir)
    builder = tfds.builder("mixed")
    for config, row in [
        ("a", 80),
        (builder.builder_configs["a"], 80),
        (tfds.core.BuilderConfig(name="b"), 70),
        ("", 60),
        (None, 60),
    ]:
        assert int(next(iter(tfds.builder("mixed", config=config).as_dataset("train")))["row"]) == row
    for config in (tfds.core.BuilderConfig(name="c"), 3, ["a"], "../plain", "a/3.0.0"):
        with pytest.raises(ValueError, match="has no config"):
            tfds.builder("mixed", config=config)


def test_published_later(data_dir):
    """A config or a version published after `register` is there for the next builder; the default may become another."""
    tfds_builder.register(data_dir)
    assert first_row("only") == 30
    publish(data_dir, "only/extra:1.0.0", 100)
    publish(data_dir, "only/small:2.0.1", 110)
    assert (first_row("only/extra"), first_row("only/small"), first_row("only")) == (100, 110, 100)
    publish(data_dir, "only:1.0.0", 120)
    assert (first_row("only"), first_row("only/large")) == (120, 30)


def test_data_dir_wins(data_dir, tmp_path):
    """`data_dir=` asks for the configs of that directory, not for those of the registered one."""
    publish(tmp_path / "other", "only/elsewhere:1.0.0", 500)
    tfds_builder.register(data_dir)
    for name in ("only", "only/elsewhere", "only/elsewhere:1.0.0"):
        assert first_row(name, data_dir=tmp_path / "other") == 500
    assert list(tfds.builder("only", data_dir=tmp_path / "other").builder_configs) == ["elsewhere"]
    with pytest.raises(ValueError, match="has no config 'large'"):
        tfds.load("only/large", data_dir=tmp_path / "other")


def test_pickled_and_copied(data_dir):
    """A pickled or copied builder is of the same config and version, not of the default ones."""
    tfds_builder.register(data_dir)
    for name, row in ROWS.items():
        for builder in (pickle.loads(pickle.dumps(tfds.builder(name))), copy.deepcopy(tfds.builder(name))):
            assert int(next(iter(builder.as_dataset("train")))["row"]) == row
            assert builder.info.full_name == name.replace(":", "/")


def test_from_directory(data_dir, monkeypatch):
    """`builder_from_directory` reads the directory of a config's version, by an absolute path, a relative one or a link."""
    directory = data_dir / "only" / "small" / "1.0.0"
    (data_dir.parent / "link").symlink_to(directory)
    monkeypatch.chdir(directory)
    for path in (directory, ".", data_dir.parent / "link"):
        builder = tfds_builder.builder_from_directory(path)
        assert (builder.info.full_name, builder.info.config_description) == ("only/small/1.0.0", "Rows from 50.")
        assert problems(path) == []


def test_scan_and_generate(data_dir):
    """`scan` lists every version as `tfds.load` calls it; the generated module, beside the configs, loads each of them."""
    assert sorted(entry.tfds_name for entry in scan(data_dir)) == sorted(ROWS)
    assert [entry.tfds_name for entry in scan(data_dir)][:3] == ["mixed:1.0.0", "mixed/a:3.0.0", "mixed/b:1.0.0"]
    assert all(pathlib.Path(entry.path, "manifest.json").is_file() for entry in scan(data_dir))
    module = tfds_builder.generate(data_dir / "only" / "large" / "1.2.0")
    assert module == str(data_dir / "only" / "only_dataset_builder.py")
    doc = ast.get_docstring(ast.parse(pathlib.Path(module).read_text()))
    assert 'tfds.load("only/large", split="train"' in doc
    assert "config large, version 1.2.0" in doc
    spec = importlib.util.spec_from_file_location("only_dataset_builder", module)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    names = [name for name in ROWS if name.startswith("only")]
    assert [first_row(name) for name in names] == [ROWS[name] for name in names]


def test_default_of_stock(tmp_path):
    """The default config is noted where stock TFDS looks for it, after each publication; what makes no sense is mended, and the
    note goes when there is a version without a config."""
    note = tmp_path / "only" / ".config" / "metadata.json"
    for config in ("b", "c", "a"):
        directory = publish(tmp_path, f"only/{config}:1.0.0", 1)
        noted = load_default_config_name(tfds.core.Path(tmp_path / "only"))
        assert noted == ("b" if config == "c" else config)
        assert noted == next(iter(tfds_builder.builder_from_directory(directory).builder_configs))
    for content in ("{", "[]", '{"default_config_name": 3}', "{}", '{"default_config_name": "../../x"}', "x" * 20_000):
        note.write_text(content)
        tfds_builder.generate(directory)
        assert json.loads(note.read_text()) == {"default_config_name": "a"}
    note.unlink()
    (tmp_path / "secret").write_text("kept")
    note.symlink_to(tmp_path / "secret")
    tfds_builder.generate(directory)
    assert (json.loads(note.read_text()), (tmp_path / "secret").read_text()) == ({"default_config_name": "a"}, "kept")
    publish(tmp_path, "only:1.0.0", 1)
    assert not note.parent.exists()
    note.parent.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").mkdir()
    shutil.rmtree(tmp_path / "only" / "1.0.0")
    tfds_builder.generate(directory)
    assert list((tmp_path / "outside").iterdir()) == []


def test_verify_finds_a_moved_config(data_dir):
    """A config's directory under another name, of another dataset or without its config, is a problem and cannot be loaded."""
    for target in ("only/renamed/1.0.0", "plain/small/1.0.0", "small/1.0.0", "only/1.0.0", "only/small/1.0.7"):
        shutil.copytree(data_dir / "only" / "small" / "1.0.0", data_dir / target)
        assert problems(data_dir / target) == ["manifest.json"], target
        with pytest.raises(ManifestError, match=r"only/small/1\.0\.0"):
            tfds_builder.builder_from_directory(data_dir / target)
        tfds_builder.register(data_dir)
        *path, version = target.split("/")
        with pytest.raises(ManifestError, match=r"only/small/1\.0\.0"):
            tfds.load(f"{'/'.join(path)}:{version}")
        shutil.rmtree(data_dir / target)
    plain = data_dir / "only" / "plain" / "1.0.0"
    shutil.copytree(data_dir / "plain" / "1.0.0", plain)
    with pytest.raises(ManifestError, match=r"plain/1\.0\.0"):
        tfds.load("only/plain")


def test_damage_stays_where_it_is(data_dir):
    """A damaged manifest of one config hides neither other configs nor other versions, and is an error where it is asked for."""
    (data_dir / "only" / "large" / "1.10.0" / "manifest.json").write_text("{")
    assert tfds_builder.register(data_dir) == ["mixed", "only", "plain"]
    assert (first_row("only/small"), first_row("only/large:1.2.0")) == (40, 20)
    configs = tfds.builder("only/small").builder_configs
    assert (list(configs), configs["small"].description) == (["large", "small"], "Rows from 40.")
    assert "large" in repr(configs)
    for action in (lambda: tfds.load("only"), lambda: tfds.load("only/large"), lambda: configs["large"].description):
        with pytest.raises(ManifestError, match=r"only/large/1\.10\.0/manifest\.json"):
            action()


@kit.both_formats
def test_golden(format):
    """Every version of the golden configs is whole, has the description and notes it was exported with, and loads its rows."""
    tfds_builder.register(kit.GOLDEN)
    for (config, version), rows in kit.make.VARIANTS.items():
        ds, info = tfds.load(f"variants_{format}/{config}:{version}", split="train", with_info=True)
        assert [int(example["row"]) for example in ds.as_numpy_iterator()] == list(range(rows))
        large = config == "large"
        assert info.config_description == (kit.make.VARIANT["description"] if large else "")
        assert info.release_notes == (kit.make.VARIANT["notes"] if large else {})
        assert tfds_builder.verify(info.data_dir, deep=True).problems == []
    assert tfds.builder(f"variants_{format}").info.full_name == f"variants_{format}/large/1.1.0"


# --- nobody is trusted -----------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["config", "version"])
def test_linked_directory(level, data_dir, tmp_path):
    """A link in the place of a config's directory, or of a version in it, is passed over by register, list and load."""
    linked = data_dir / "only" / ("large" if level == "config" else "large/1.10.0")
    shutil.move(linked, tmp_path / "outside")
    linked.symlink_to(tmp_path / "outside")
    names = {entry.tfds_name for entry in scan(data_dir)}
    assert names == {name for name in ROWS if not name.startswith("only/large" if level == "config" else "only/large:1.10.0")}
    tfds_builder.register(data_dir)
    assert first_row("only") == (40 if level == "config" else 20)
    with pytest.raises(ValueError if level == "config" else AssertionError):
        tfds.load("only/large:1.10.0")


def test_directories_that_are_no_config(data_dir):
    """What no config can be called, holds no version, or is not yet published, is passed over."""
    source = data_dir / "plain" / "1.0.0"
    for target in (".config/1.0.0", "_a/1.0.0", "a b/1.0.0", "1.0.0.incomplete/1.0.0", "a.py/1.0.0", "a/b/1.0.0",
                   "c/1.0.0.incomplete", "d/1.0", "__pycache__/1.0.0", "2.0.0/1.0.0", "x\n/1.0.0", "Größe/1.0.0"):  # fmt: skip
        shutil.copytree(source, data_dir / "only" / target)
    (data_dir / "only" / "empty").mkdir()
    (data_dir / "only" / "file").write_text("x")
    assert {entry.tfds_name for entry in scan(data_dir)} == set(ROWS)


def change_of(**fields):
    return lambda content: content.update(fields)


@pytest.mark.parametrize("change", [
    change_of(config_name=name) for name in (
        "..", ".", "../a", "/etc", "a/b", "a\\b", "1.0.0", "1.0.0.incomplete", "a\n", "\n", "a\0b", "a b", "a" * 256, "Größe",
        ".config", "x.py", 3, None, [], {"name": "a"}, True,
    )
] + [
    change_of(config_description=3), change_of(config_description=None), change_of(config_description=["x"]),
    change_of(config_name="", config_description="of nothing"), change_of(release_notes=[]), change_of(release_notes=None),
    change_of(release_notes="x"), change_of(release_notes={"1.0": "x"}), change_of(release_notes={"": "x"}),
    change_of(release_notes={"1.0.0": 3}), change_of(release_notes={"1.0.0": None}), change_of(release_notes={"../x": "y"}),
    change_of(release_notes={"1.0.0\n": "y"}), change_of(release_notes={"1" * 300 + ".0.0": "y"}),
])  # fmt: skip
def test_manifest_that_nobody_writes(change, data_dir):
    """A config or release notes that no export writes are a ManifestError of the manifest, before anything is done with them."""
    directory = data_dir / "only" / "large" / "1.0.0"
    kit.edit_manifest(directory, change)
    with pytest.raises(ManifestError, match=r"config_name|config_description|release_notes"):
        read_lib.read_manifest(directory)
    assert problems(directory)
    before = sorted(data_dir.rglob("*"))
    with pytest.raises(ManifestError):
        tfds_builder.generate(directory)
    assert sorted(data_dir.rglob("*")) == before


@pytest.mark.parametrize("change", [
    change_of(config_name="small"), change_of(config_name=""), change_of(config_description=""), change_of(release_notes={}),
    change_of(config_description="else"), change_of(release_notes={"1.0.0": "else"}), lambda c: c.pop("config_name"),
    lambda c: [c.pop(key) for key in ("config_name", "config_description")],
])  # fmt: skip
def test_manifest_of_another(change, data_dir):
    """A manifest whose config, description or notes are not those of its path and of TFDS's metadata is refused, and generates
    no module anywhere."""
    directory = data_dir / "only" / "large" / "1.0.0"
    kit.edit_manifest(directory, change)
    assert problems(directory)
    tfds_builder.register(data_dir)
    for action in (lambda: tfds.load("only/large:1.0.0"), lambda: tfds_builder.builder_from_directory(directory).info):
        with pytest.raises(DatasetError):
            action()
    assert first_row("only/large:1.2.0") == 20


@pytest.mark.parametrize("key", ["configName", "configDescription", "releaseNotes"])
def test_metadata_of_another(key, data_dir):
    """TFDS metadata that names another config, description or notes than the manifest, or none, is refused."""
    directory = data_dir / "only" / "large" / "1.0.0"
    for change in (lambda c: c.update({key: {"1.0.0": "x"} if key == "releaseNotes" else "x"}), lambda c: c.pop(key)):
        kit.edit_metadata(directory, "dataset_info.json", change)
        assert problems(directory) == ["dataset_info.json"]
        with pytest.raises(DatasetError, match=key):
            tfds_builder.builder_from_directory(directory)


def test_metadata_of_a_config_where_there_is_none(data_dir):
    """TFDS metadata that has a config where the manifest has none is refused too."""
    directory = data_dir / "plain" / "1.0.0"
    kit.edit_metadata(directory, "dataset_info.json", lambda content: content.update(configName="a"))
    assert problems(directory) == ["dataset_info.json"]
    with pytest.raises(DatasetError, match="configName"):
        tfds_builder.builder_from_directory(directory)


def test_module_is_generated_in_the_dataset_only(data_dir):
    """A manifest that claims a config, but lies where there is none, does not make `generate` write one directory further up."""
    directory = data_dir / "plain" / "1.0.0"
    kit.edit_manifest(directory, change_of(config_name="a"))
    before = sorted(data_dir.rglob("*"))
    with pytest.raises(ManifestError, match="plain/a"):
        tfds_builder.generate(directory)
    assert sorted(data_dir.rglob("*")) == before


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text(text, tmp_path, capsys, monkeypatch):
    """Description and notes of any text come back as they are, and change neither the module's code nor the terminal."""
    from exporters import cli

    directory = publish(tmp_path, "only/a:1.0.0", 1, config_description=text, release_notes={"1.0.0": text})
    manifest = read_lib.read_manifest(directory)
    builder = tfds_builder.builder_from_directory(directory)
    assert (builder.info.config_description, builder.info.release_notes) == (text, {"1.0.0": text})
    assert problems(directory) == []
    tree = ast.parse(render(manifest))
    assert [type(node).__name__ for node in tree.body] == ["Expr", "Import", "Import", "ClassDef"]
    assert json.loads(manifest.to_json())["config_description"] == text
    for command in ("info", "list"):
        monkeypatch.setattr("sys.argv", ["torch2tfds", command, str(directory if command == "info" else tmp_path)])
        with pytest.raises(SystemExit):
            cli.main()
        printed = capsys.readouterr().out
        assert all(character.isprintable() or character == "\n" for character in printed)


# --- real exports, and stock TFDS ------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two configs in two versions each, in both formats, exported from DataLoaders; and what their first images hold."""
    torch = pytest.importorskip("torch")
    import exporters

    data_dir, rows = tmp_path_factory.mktemp("exported"), {}
    for format in kit.FORMATS:
        for config in (exporters.Config("large", "It is \"large\"\n'and' long"), "small-2.0"):
            for version in ("1.2.0", "1.10.0"):
                first = 10 * len(rows)
                images = torch.arange(first, first + 6, dtype=torch.uint8).reshape(6, 1, 1, 1).expand(6, 3, 4, 5)
                labels = torch.arange(6) % 2
                dataset = torch.utils.data.TensorDataset(images, labels)
                dataset.classes = [str(config)[-3:], version]
                loader = torch.utils.data.DataLoader(dataset, batch_size=2)
                result = exporters.export(
                    {"train": loader, "test": loader}, data_dir, name=format, version=version, config=config, format=format,
                    shard_bytes=150, release_notes=NOTES, on_hazard="ignore", progress=False,
                )  # fmt: skip
                rows[f"{format}/{result.config}:{version}"] = [first, dataset.classes]
    return data_dir, rows


@pytest.mark.needs_torch
def test_exported(exported):
    """Every version of every exported config, of both formats, is whole and loads its own images, in order, and class names."""
    data_dir, rows = exported
    assert tfds_builder.register(data_dir) == sorted(kit.FORMATS)
    for name, (first, classes) in rows.items():
        ds, info = tfds.load(name, split="train", as_supervised=True, batch_size=-1, with_info=True)
        assert ds[0][:, 0, 0, 0].numpy().tolist() == list(range(first, first + 6))
        assert (info.features["label"].names, info.splits["test"].num_examples) == (classes, 6)
        assert info.full_name == name.replace(":", "/")
        assert tfds_builder.verify(info.data_dir, deep=True).problems == []
    for format in kit.FORMATS:
        for name, full in (("", "large"), ("/large", "large"), ("/small-2.0", "small-2.0")):
            assert tfds.builder(f"{format}{name}").info.full_name == f"{format}/{full}/1.10.0"


@pytest.mark.once
@pytest.mark.needs_torch
def test_stock(exported, run_python):
    """Stock TFDS, with none of our code, reads every config and version of a TFRecord export, by name and by directory; HDF5
    ones it does not find."""
    data_dir, rows = exported
    code = """
        import json, sys
        for package in ("tfds_builder", "exporters", "torch", "h5py"):
            sys.modules[package] = None  # importing it raises ImportError
        import tensorflow_datasets as tfds
        out = {}
        for name in sys.argv[2:]:
            try:
                ds, info = tfds.load(name, split="train", data_dir=sys.argv[1], with_info=True, shuffle_files=False,
                                     read_config=tfds.ReadConfig(interleave_cycle_length=1))
            except tfds.core.DatasetNotFoundError as error:
                out[name] = "large" in str(error)
                continue
            builder = tfds.builder_from_directory(info.data_dir)
            assert len(list(builder.as_dataset(split="test"))) == 6
            assert builder.builder_config.name == builder.info.config_name == info.config_name
            first = [int(example["image"][0, 0, 0]) for example in ds.as_numpy_iterator()]
            out[name] = [first, info.features["label"].names, info.full_name, info.config_description, dict(info.release_notes)]
        print(json.dumps(out))
    """
    names = [*rows, "tfrecord/large", "tfrecord/large:1.2.*", "tfrecord", "tfrecord:1.2.0", "tfrecord/medium"]
    found = json.loads(run_python(code, data_dir, *names).stdout.splitlines()[-1])
    for name, (first, classes) in rows.items():
        if name.startswith("hdf5"):
            assert isinstance(found[name], bool), name
            continue
        description = "It is \"large\"\n'and' long" if "/large" in name else ""
        assert found[name] == [list(range(first, first + 6)), classes, name.replace(":", "/"), description, NOTES]
    assert found["tfrecord/large"] == found["tfrecord/large:1.10.0"]
    assert found["tfrecord/large:1.2.*"] == found["tfrecord/large:1.2.0"]
    assert found["tfrecord"] == found["tfrecord/large"]
    assert found["tfrecord:1.2.0"] == found["tfrecord/large:1.2.0"]
    assert found["tfrecord/medium"] is True  # not found, and the configs there are are listed
