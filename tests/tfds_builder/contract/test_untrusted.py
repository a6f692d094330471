"""Values nobody vouches for: JSON that is none, text that is none, and what a terminal is shown of it."""

import contextlib
import json

import consumer_kit as kit
import pytest

from tfds_builder.catalog import read as read_lib
from tfds_builder.contract.untrusted import CONFIG, NAME, VERSION, printable
from tfds_builder.errors import ManifestError

pytestmark = pytest.mark.once


HOSTILE_TEXTS = [
    '"""', "'''", "\\", '\\"""\nimport os', "\n", "\r\n", '""" + __import__("os").system("x") + """', "${name}", "{DATASET}",
    "{0.__class__}", "%(x)s", "\0", "\u2028", "\x85", "\x1b[2J", "\N{RIGHT-TO-LEFT OVERRIDE}", "#", "'); x = ('", "../../x",
]  # fmt: skip


@pytest.mark.parametrize("text", ["1e999", "NaN", "-Infinity", "1" * 5000, '{"a": 1, "a": 2}', "[" * 990 + "]" * 990])
@pytest.mark.parametrize("place", ["features", "card", "labels", "decisions", "splits", "format_version", "extra"])
def test_hostile_json(text, place, tmp_path):
    """Numbers JSON does not have or nobody can hold, a key twice, lists in lists, anywhere: a ManifestError or of no effect."""
    content = json.loads((kit.GOLDEN / "pairs_hdf5" / "1.0.0" / "manifest.json").read_bytes())
    content[place] = "@@@"
    sealed = kit.seal_text(json.dumps(content).replace('"@@@"', text))
    if place == "extra" and text in ("1e999", "[" * 990 + "]" * 990):  # JSON, and of no use to anybody
        with contextlib.suppress(ManifestError):
            read_lib.parse_manifest(sealed)
    else:
        with pytest.raises(ManifestError) as caught:
            read_lib.parse_manifest(sealed)
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("data", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800"])
def test_invalid_utf8(data, tmp_path):
    """Bytes that are no UTF-8, and escapes that make strings without UTF-8, are a ManifestError, in any text field."""
    whole = (kit.GOLDEN / "pairs_hdf5" / "1.0.0" / "manifest.json").read_bytes()
    body = whole[kit.HEAD_BYTES :]
    assert read_lib.parse_manifest(kit.seal_text(body, start=b"{")).name == "pairs_hdf5"
    for text in (b"CC0", b"dog house", b"Golden", b"torch2tfds ", b"Tensor uint8"):
        assert text in body
        with pytest.raises(ManifestError, match=r"valid JSON|valid Unicode"):
            read_lib.parse_manifest(kit.seal_text(body.replace(text, data), start=b"{"))


def test_printable():
    """What is printed of a dataset moves no cursor and turns no line round, and ordinary text stays as it is."""
    assert printable("Größe 日本 'x'") == "Größe 日本 'x'"
    for text in HOSTILE_TEXTS:
        assert printable(text).isprintable()


GOOD = {
    NAME: ["a", "digits", "mnist_2", "a1"],
    VERSION: ["0.0.0", "1.2.3", "10.20.30"],
    CONFIG: ["a", "A", "2012", "en-US", "v1.0", "1.0", "a.b-c_d"],
}
BAD = {
    NAME: ["", "A", "1a", "_a", "a-b", "a/b", "a\n", "ä"],
    VERSION: ["", "1", "1.2", "01.0.0", "1.0.0.0", "1.0.0\n", "v1.0.0", "\uff11.0.0", "-1.0.0"],
    CONFIG: ["", ".", "..", "_a", "-a", "a/b", "a b", "1.0.0", "1.0.0.incomplete", "x.py", "a\n", "ä"],
}
CASES = [(pattern, text, good) for good, by in ((True, GOOD), (False, BAD)) for pattern, texts in by.items() for text in texts]


@pytest.mark.parametrize(("pattern", "text", "good"), CASES)
def test_names(pattern, text, good):
    """A name is taken whole or not at all."""
    assert bool(pattern.fullmatch(text)) == good
