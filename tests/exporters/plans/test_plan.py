"""A plan is plain data: the same bytes whatever made it, and back."""

from __future__ import annotations

import json

from exporters.plans import plan


def test_plan_is_canonical_json():
    """The same plan gives the same bytes whatever order its mappings were filled in, and reads back as JSON."""

    def make(card):
        return plan.Plan(
            name="ds", version="1.0.0", format="hdf5", shard_bytes=7, splits=("b", "a"), features={"z": 1, "a": 2},
            columns=({"name": "x"},), labels={}, supervised_keys=None, card=card, decisions=("x: é",), sources={}, producer="p",
        ).to_json()  # fmt: skip

    first = make({"license": "CC0", "homepage": ""})
    assert first == make({"homepage": "", "license": "CC0"})
    assert json.loads(first)["splits"] == ["b", "a"]
