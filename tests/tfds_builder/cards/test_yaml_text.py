"""`tfds_builder.cards.yaml_text`: whatever text goes in, every YAML reader gives it back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfds_builder.cards.yaml_text import to_yaml

pytestmark = pytest.mark.once

AWKWARD = (
    "", " ", "yes", "No", "null", "~", "1.0", "1e3", "0x1F", "2001-01-01", "---", "...", "- a", "a: b", "a #b", "#", "'", '"',
    "\\", "\n", "a\n---\nb: c", "\t", "\r\n", "\0", "\x1b[2J", "\x7f", "\x85", "\xa0", "\u2028\u2029", "\u202e", "\ufeff",
    "\ufffe", "\U0001f44d", "%TAG", "@a", "`a", "!a", "&a", "*a", "{a}", "[a]", "|", ">", "?", ":", ",", "<<", "=", "Größe",
    "日本", "a" * 100_000,
)  # fmt: skip


def readers():
    """Every YAML reader that is installed: PyYAML reads YAML 1.1, ruamel 1.2."""
    yaml = pytest.importorskip("yaml")
    found = [yaml.safe_load]
    try:
        from ruamel.yaml import YAML
    except ImportError:
        return found
    return [*found, YAML(typ="safe", pure=True).load]


@pytest.mark.parametrize("read", [0, 1])
def test_awkward(read):
    """Words that are no strings to YAML, marks, line ends, characters that are not printed: as values, in lists and as keys."""
    reader = dict(enumerate(readers())).get(read) or pytest.skip("only one reader is installed")
    short = [text for text in AWKWARD if len(text) < 100]
    content = {
        "text": dict(enumerate(AWKWARD)),
        "list": list(AWKWARD),
        "keys": {text: number for number, text in enumerate(short)},
    }
    content["text"] = {f"k{number}": text for number, text in content["text"].items()}
    content |= {"nested": [{"a": [["b"], [], {}], "c": {"d": []}}], "yes": True, "no": False, "n": -3, "empty": {}}
    assert reader(to_yaml(content)) == content


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.text(st.characters(codec="utf-8")) | st.integers() | st.booleans(),
        lambda x: st.lists(x) | st.dictionaries(st.text("ab -:#"), x),
    )
)
def test_any(value):
    """Nested values of any text."""
    assert readers()[0](to_yaml({"value": value})) == {"value": value}


def test_lines():
    """Strings are on one line, so that none of them can end the front matter of a README."""
    lines = to_yaml({"a": ["x\n---\ny", "\n...\n"], "b": "---"}).splitlines()
    assert lines == ["a:", '  - "x\\n---\\ny"', '  - "\\n...\\n"', 'b: "---"']
