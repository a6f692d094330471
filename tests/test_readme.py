"""The README, followed to the letter."""

import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
INDENTED = re.findall(r"^    (\S.*)$", re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
COMMANDS = [line for line in INDENTED if line.startswith("torch2tfds ")]


@pytest.mark.needs_torch
@pytest.mark.needs_tensorflow
def test_python_blocks_run(tmp_path, run_python):
    """Every Python block of the README runs, in order, in one fresh process, and prints and makes what it says."""
    assert len(BLOCKS) >= 4
    pytest.importorskip("h5py")
    done = run_python("\n".join(BLOCKS))
    assert "image: NCHW (3, 32, 32) -> NHWC (32, 32, 3), Tensor uint8" in done.stdout + done.stderr
    assert "/data/my_images/1.0.0" in done.stdout
    assert "TensorSpec(shape=(32, 32, 3), dtype=tf.uint8" in done.stdout
    assert sorted(path.name for path in (tmp_path / "data" / "my_images").iterdir()) == [
        "1.0.0", "1.1.0", "my_images_dataset_builder.py",
    ]  # fmt: skip


@pytest.mark.needs_torch
@pytest.mark.needs_tensorflow
def test_features_page_runs(run_python):
    """Every Python block of docs/features.md runs, in order, and what it exports is what it says."""
    page = (pathlib.Path(__file__).parent.parent / "docs" / "features.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    look = """
import numpy as np, tfds_builder
tfds_builder.register("data")
ds = tfds.load("detection", split="train")
for number, example in enumerate(tfds.as_numpy(ds)):
    image, target = detection(number)
    assert np.array_equal(example["image"], image.permute(1, 2, 0))
    assert example["label"]["labels"].tolist() == target["labels"].tolist()
    size = np.array([image.shape[2], image.shape[1]] * 2)
    assert np.allclose(example["label"]["boxes"][:, [1, 0, 3, 2]] * size, target["boxes"])
print(number, ds.element_spec["image"].shape, tfds.builder("detection").info.features["label"]["labels"].names)
"""
    done = run_python("\n".join([*blocks, look]))
    said = re.findall(r"^print\(.*\)  # (.*)$", page, re.MULTILINE)
    assert [line for line in done.stdout.splitlines() if line in said] == said
    assert done.stdout.splitlines()[-1] == "19 (None, 32, 3) ['cat', 'dog', 'bird']"


@pytest.mark.needs_torch
@pytest.mark.needs_tensorflow
def test_random_access_page(run_python):
    """Every Python block of docs/random_access.md runs, in order, in one fresh process, and prints what its comments say."""
    page = (pathlib.Path(__file__).parent.parent / "docs" / "random_access.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    printed = run_python("\n".join(blocks)).stdout.splitlines()[-3:]
    said = re.findall(r"^print\(.*\)  # (.*)$", page, re.MULTILINE)
    assert len(said) == 3
    for line, comment in zip(printed, said, strict=True):
        assert line.startswith(comment.removesuffix("...").partition(":")[0])


@pytest.mark.needs_torch
@pytest.mark.needs_tensorflow
def test_catalog_page(run_python):
    """Every Python block of docs/catalog.md runs, in order, in one fresh process, and prints what its comments say."""
    page = (pathlib.Path(__file__).parent.parent / "docs" / "catalog.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    said = re.findall(r"^print\(.*\)  # (.*)$", page, re.MULTILINE)
    assert len(said) == 6
    assert run_python("\n".join(blocks)).stdout.splitlines()[-len(said) :] == said


@pytest.mark.parametrize("line", COMMANDS)
def test_command_lines_exist(line):
    """Every command line shown is one the command line takes: the command, its options and the number of its arguments."""
    typer = pytest.importorskip("typer")
    from exporters.cli import app

    words = shlex.split(line)[1:]
    command = typer.main.get_command(app).commands[words[0]]
    command.make_context(words[0], words[1:])  # parses, runs nothing
    shown = subprocess.run([sys.executable, "-m", "exporters.cli", words[0], "--help"], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout


def test_commands_are_shown():
    """The README shows the three commands of everyday use, and the two set-up commands exactly."""
    assert {shlex.split(line)[1] for line in COMMANDS} >= {"export", "list", "verify"}
    assert INDENTED.count("python -m pip install tox && tox run -e demo") == 1
    assert INDENTED.count("python -m pip install tox && tox run") == 1


def test_extras():
    """docs/install.md has a row for each extra of pyproject.toml with what it brings, and no page or message names another."""
    root = pathlib.Path(__file__).parent.parent
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (root / "docs" / "install.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == sorted(extras)
    files = [root / "README.md", *root.glob("docs/*.md"), *root.glob("exporters/**/*.py"), *root.glob("tfds_builder/**/*")]
    texts = {path: path.read_text("utf-8") for path in files if path.suffix in (".md", ".py", ".tmpl")}
    for path, text in texts.items():
        named = re.findall(r'pip install .*?"\.\[([\w,-]+)\]"', text)
        named += re.findall(r"how_to_install\('([\w-]+)'\)", text)
        assert {extra for group in named for extra in group.split(",")} <= set(extras), path
        assert "torch2tfds[" not in text, f"{path}: it is on no index"


def test_links():
    """Every relative link of the README leads to a file or directory of the repository."""
    root = pathlib.Path(__file__).parent.parent
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (root / link).exists()] == []


def test_reliability_table():
    """docs/reliability.md has every row of the endurance run, with the numbers that add up and nothing lost."""
    text = (pathlib.Path(__file__).parent.parent / "docs" / "reliability.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if re.match(r"\| (a|killed|host)", line)
    ]
    tried = {fault: int(count.replace(",", "")) for fault, count, survived, lost, _ in rows if (survived, lost) == (count, "0")}
    least = {"killed at a random instant": 500, "a bit flipped": 1000, "a file cut off": 200, "a disk that fails": 200}
    ways = (
        "engine `processes`",
        "engine `ray`",
        "engine `beam`",
        "ranks of an array job",
        "engine `processes`, a stream in parts",
    )
    least |= {f"a process killed, {way}": 100 for way in ways}
    least |= {fault: 100 for fault in tried if fault.startswith("a process killed")}
    assert all(tried[fault] >= count for fault, count in least.items())
    assert sum(tried.pop(fault) for fault in ("a hostile manifest", "a hostile shard or index", "hostile records")) >= 100_000
    assert tried.keys() == least.keys()
