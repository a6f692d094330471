"""What a config and release notes can be, and what is refused before anything is asked of the loader."""

from __future__ import annotations

import pytest
import torch

import exporters
from exporters import ArgumentError


@pytest.mark.parametrize("config", [
    "", "..", ".", ".config", "../a", "a/b", "/a", "a\\b", "a b", "a\n", "a\0", "1.0.0", "1.0.0.incomplete", "1.0.0.resume",
    "01.2.3", "ds_dataset_builder.py", "_a", "-a", "Größe", "a,b", "a=b", "a:1.0.0", "a*", "\ud800", "a" * 101, b"a", 3, ["a"],
])  # fmt: skip
def test_names_that_are_refused(config, refuses, loader_of):
    """A config that would be taken for a version, leads elsewhere or cannot be asked for in `tfds.load` is an ArgumentError."""
    refuses(loader_of(torch.arange(3)), ArgumentError, "config", config=config)


@pytest.mark.parametrize("description", [None, 3, b"x", "\ud800"])
def test_description_that_is_no_text(description):
    """A description that is no text is an ArgumentError as the Config is made."""
    with pytest.raises(ArgumentError, match="description"):
        exporters.Config("a", description)


@pytest.mark.parametrize("notes", [
    "first", ["first"], 3, {"1.0": "x"}, {"": "x"}, {1: "x"}, {"1.0.0": None}, {"1.0.0": 3}, {"1.0.0": "\ud800"}, {"v1.0.0": "x"},
    {"01.0.0": "x"}, {"1.0.0\n": "x"},
])  # fmt: skip
def test_release_notes_that_are_refused(notes, refuses, loader_of):
    """Release notes are texts by version; anything else is an ArgumentError."""
    refuses(loader_of(torch.arange(3)), ArgumentError, "release_notes", release_notes=notes)
