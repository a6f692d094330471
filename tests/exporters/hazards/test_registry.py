"""The list of hazards is that of docs/hazards.md and of the types, and a policy says what to do about each of them."""

from __future__ import annotations

import pathlib
import re
import typing

import pytest
import torch

from exporters import ArgumentError
from exporters.hazards.registry import HAZARDS, check_policy
from exporters.outcome import Action, HazardName

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "hazards.md"


NUMBERS = torch.arange(40 * 100, dtype=torch.int32).reshape(40, 100)


def test_docs():
    """The table in docs/hazards.md is the one in the code."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \| `(.*)` \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert rows == [(name, kind.found, kind.meaning, kind.remedy) for name, kind in HAZARDS.items()]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("Warn", "'Warn'"),
        (None, "None"),
        ({"drop_lst": "warn"}, "shared_examples"),
        ({"padding": "no"}, "'no'"),
        ({3: "warn"}, "3"),
    ],
)
def test_bad_policies(policy, words, refuses, loader_of):
    """An unknown hazard or action is refused with those there are."""
    refuses(loader_of(NUMBERS), ArgumentError, "on_hazard", words, on_hazard=policy)


def test_policy():
    """One action is for all; a mapping leaves what it does not name at its default, which is "warn"."""
    assert set(check_policy("error").values()) == {"error"}
    policy = check_policy({"padding": "ignore"})
    assert policy.pop("padding") == "ignore"
    assert set(policy.values()) == {"warn"}
    policy = check_policy({"padding": "warn", "default": "error"})
    assert policy.pop("padding") == "warn"
    assert set(policy.values()) == {"error"}


def test_names_that_type_checkers_know():
    """The hazards and actions that a type checker lets through are those that there are."""
    assert typing.get_args(HazardName) == tuple(HAZARDS)
    for action in typing.get_args(Action):
        assert set(check_policy(action).values()) == {action}
