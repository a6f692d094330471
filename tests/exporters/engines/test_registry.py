"""Engines by name; those and the options that there are not are refused in the caller's words."""

from __future__ import annotations

import typing

import pytest

from exporters import ArgumentError, wording
from exporters.engines import registry
from exporters.outcome import EngineName


def test_every_engine_is_there():
    """Each name that a type checker lets a caller write is an engine, without options too."""
    for name in typing.get_args(EngineName):
        assert type(registry.find(name)).__name__.lower() == name


@pytest.mark.parametrize(("name", "options", "words"), [
    ("threads", None, "engine must be one of local, processes, ray, beam"),
    ("local", {"workers": 2}, "engine_options: 'workers' is no option of engine=\"local\", which has none"),
    ("processes", ["workers"], "engine_options must be a mapping of option to value"),
])  # fmt: skip
def test_what_there_is_not(name, options, words):
    """The error says which there are."""
    with pytest.raises(ArgumentError, match=words):
        registry.find(name, options)


def test_in_options():
    """At a command line the same is said of options."""
    with wording.command_line(), pytest.raises(ArgumentError, match="--engine-option: 'n' is no option of --engine processes"):
        registry.find("processes", {"n": 2})
