"""What the options of a command line mean, one by one; what is done with them is in `test_cli`."""

import pytest

from exporters.command import arguments
from exporters.errors import ArgumentError


def test_pairs():
    """NAME=VALUE, the value with any more `=` in it."""
    assert arguments.pairs(["a=1", "b=x=y"], "--rename") == {"a": "1", "b": "x=y"}
    assert arguments.pairs(None, "--rename") == {}


@pytest.mark.parametrize("text", ["a", "a=", "=a", "=", ""])
def test_no_pairs(text):
    """What has no name or no value is refused with what came."""
    with pytest.raises(ArgumentError, match="--rename takes NAME=VALUE") as caught:
        arguments.pairs([text], "--rename")
    assert repr(text) in str(caught.value)


def test_a_pair_twice():
    """A name that is given twice is refused with both values."""
    with pytest.raises(ArgumentError, match="--layout is given twice for 'a': 'x' and 'y'"):
        arguments.pairs(["a=x", "a=y"], "--layout")


def test_keys():
    """Names between commas, without the blanks around them; none may be empty."""
    assert arguments.keys("image, label") == ("image", "label")
    assert arguments.keys(None) is None
    for text in ("image,", ",label", "", "a, ,b"):
        with pytest.raises(ArgumentError, match="--supervised"):
            arguments.keys(text)


def test_shard_bytes():
    """MiB as bytes; only what is a positive number."""
    assert arguments.shard_bytes(1.5) == 1572864
    for size in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="--shard-mib"):
            arguments.shard_bytes(size)


def test_help_has_no_pictures():
    """No help has a word between colons, of which Rich makes an emoji: what is typed must be what is read."""
    import typer
    from typer.testing import CliRunner

    from exporters.cli import app

    for name in typer.main.get_command(app).commands:
        text = CliRunner().invoke(app, [name, "--help"]).stdout
        assert name in text
        assert [character for character in text if ord(character) >= 0x1F000] == [], name
