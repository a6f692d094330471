"""`torch2tfds preview`: text, JSON, a picture and a page, of loaders that somebody else wrote."""

import io
import json
import textwrap

import pytest
from typer.testing import CliRunner

from exporters.cli import app

MODULE = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def make():
        images = torch.arange(2 * 3 * 5 * 6).reshape(2, 3, 5, 6).to(torch.uint8)
        dataset = TensorDataset(images, torch.tensor([1, 0]))
        dataset.classes = ["<script>alert(1)</script>", "b"]
        return DataLoader(dataset, 2)

    def numbers():
        return DataLoader(torch.arange(4.0), 2)
"""


@pytest.fixture
def run(tmp_path):
    """`run(factory, ...)`: the command, with the module above at hand."""
    (tmp_path / "some_previewed_data.py").write_text(textwrap.dedent(MODULE))

    def call(factory, *arguments, exit_code=0):
        done = CliRunner().invoke(
            app, ["preview", f"some_previewed_data:{factory}", "--app-dir", str(tmp_path), *map(str, arguments)]
        )
        assert done.exit_code == exit_code, done.output
        return done

    return call


def test_text(run):
    """Before and after, what was decided, the first examples."""
    text = run("make").stdout
    assert "train: 2 examples; 2 in the first batch; 98 bytes an example" in text
    assert "  image    uint8 (2, 3, 5, 6)  uint8 (5, 6, 3)\n" in text
    assert "image: NCHW (3, 5, 6) -> NHWC (5, 6, 3), Tensor uint8" in text
    assert "  label: 1 (b)\n" in text
    assert "Tensor uint8 (6, 5, 3)" not in text


def test_options_are_those_of_export(run):
    """Renaming and layouts do what they do there."""
    text = run("make", "--rename", "image=photo", "--layout", "photo=NCHW", "-n", "1").stdout
    assert "  photo  " in text
    assert "train 1:" not in text


def test_json(run):
    """The same as JSON."""
    found = json.loads(run("make", "--json").stdout)
    assert found["features"][0] == {"name": "image", "given": "uint8 (2, 3, 5, 6)", "loaded": "uint8 (5, 6, 3)", "is_image": True}
    assert found["splits"]["train"]["examples"][1]["label"] == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_picture(run, tmp_path, suffix):
    """Every image is on it: twice five by six pixels, each enlarged sixteen times or more."""
    image = pytest.importorskip("PIL.Image")
    run("make", "--out", tmp_path / f"out.{suffix}")
    picture = image.open(io.BytesIO((tmp_path / f"out.{suffix}").read_bytes()))
    assert picture.size[1] > 2 * 80 or picture.size[0] > 2 * 96
    if suffix == "png":
        assert picture.getpixel((9, 9)) == (0, 30, 60)  # the first pixel of the first image


def test_page(run, tmp_path):
    """A page that loads nothing, with the images in it; what the dataset says is text, and no markup."""
    pytest.importorskip("PIL.Image")
    run("make", "--out", tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text("utf-8")
    assert page.count('<img src="data:image/png;base64,') == 2
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_what_is_refused(run, tmp_path):
    """A file of another kind, and a picture of what has no image."""
    assert "--out must end with" in str(run("make", "--out", tmp_path / "a.pdf", exit_code=1).exception)
    assert "no feature is an image" in str(run("numbers", "--out", tmp_path / "a.png", exit_code=1).exception)
    assert not (tmp_path / "a.png").exists()
