"""`tfds_builder.site.charts`: counts as they are, cut where they are many, and said to be of a sample where they are."""

import dataclasses
import json

import consumer_kit as kit
import numpy as np

from tfds_builder.pages.statistics import statistics_of
from tfds_builder.site import render
from tfds_builder.site.charts import charts_of


@kit.both_formats
def test_balance(golden, format):
    """Counts by class and split are those of the labels; numbers of a sample say so, exact ones do not."""
    directory = golden / f"pairs_{format}" / "1.0.0"
    charts, truth = charts_of(statistics_of(directory, use_cache=False)), kit.make.truth("pairs")
    (balance,) = charts["balance"]
    for number, row in enumerate(balance["rows"]):
        assert row["counts"] == [int(np.sum(values["label"] == number)) for values in truth.values()]
    assert balance["splits"] == list(truth)
    assert charts["values"]["image"]["sample"] == ""
    sampled = charts_of(statistics_of(directory, use_cache=False, sample=10))
    assert sampled["balance"] == charts["balance"]
    assert sampled["values"]["image"]["sample"] in ("", "a sample of 10 examples")
    mean = truth["train"]["image"].mean()
    assert charts["values"]["image"]["text"].startswith(f"mean {mean:.4g}, ")


def test_balance_is_of_a_split(tmp_path):
    """Splits are not pooled: ratio and shares are of one split each, and what `train` lacks and another split has is named."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    statistics = statistics_of(directory, use_cache=False)

    def split_of(counts, unlabelled=0):
        split = statistics.splits["train"]
        label = split.features["label"]
        classes = dataclasses.replace(label.classes, num_classes=4, counts=counts, unlabelled=unlabelled, names=tuple("abcd"))
        return dataclasses.replace(split, features={"label": dataclasses.replace(label, classes=classes)})

    splits = {"test": split_of({1: 8}), "train": split_of({0: 30, 2: 10}, 5), "empty": split_of({}, 7)}
    charts = charts_of(dataclasses.replace(statistics, splits=splits))
    (balance,) = charts["balance"]
    assert balance["text"] == "train: 2 of 4 classes occur, the most frequent 3.0 times as often as the rarest"
    assert {row["name"]: row["shares"] for row in balance["rows"]} == {
        "a": ["0.0 %", "75.0 %", "-"], "b": ["100.0 %", "0.0 %", "-"], "c": ["0.0 %", "25.0 %", "-"],
    }  # fmt: skip
    assert balance["lacking"] == {"split": "train", "names": ["b"], "cut": 0}
    assert balance["unlabelled"] == "5 of train, 7 of empty"
    assert charts["spark"] == [30, 0, 10]
    (alone,) = charts_of(dataclasses.replace(statistics, splits={"test": split_of({1: 8})}))["balance"]
    assert (alone["text"], alone["lacking"]["names"]) == ("1 of 4 classes occurs", [])
    page = render.render("balance.html.j2", charts=charts).decode()
    assert "b: in another split, and not in train." in page
    assert page.count("75.0 %") == 1


def test_many_classes():
    """Of 100,000 classes the most frequent and the rarest are drawn, and the page says how many lie between."""
    statistics = statistics_of(kit.GOLDEN / "pairs_hdf5" / "1.0.0", use_cache=False)
    split = statistics.splits["train"]
    label = split.features["label"]
    classes = dataclasses.replace(label.classes, num_classes=200_000, counts={i: i + 1 for i in range(100_000)}, names=())
    features = {"label": dataclasses.replace(label, classes=classes)}
    large = dataclasses.replace(statistics, splits={"train": dataclasses.replace(split, features=features)})
    (balance,) = charts_of(large)["balance"]
    assert len(balance["rows"]) == 40
    assert balance["left_out"] == 99_960
    assert balance["text"] == "100,000 of 200,000 classes occur, the most frequent 100,000.0 times as often as the rarest"
    assert len(json.dumps(balance)) < 20_000
