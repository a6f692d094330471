"""A user's script, which mypy and pyright in their strict modes check (tests/typing/check.py). It is never run.

Each line that ends in `# wrong` must be told, and no other.
"""

# pyright: strict, reportMissingTypeStubs=false, reportMissingModuleSource=false

from typing import Any

import tensorflow as tf
from torch.utils.data import DataLoader, Dataset

import exporters
import tfds_builder


def produce(loader: DataLoader[tuple[int, int]], test_loader: DataLoader[tuple[int, int]]) -> tf.data.Dataset[Any]:
    card = exporters.Card(description="Noise.", license="CC0")
    config = exporters.Config("small", "a tenth of it")
    result = exporters.export({"train": loader, "test": test_loader}, "data", name="noise", config=config, card=card)
    exporters.export(loader, "data", name="noise", format="hdf5", on_hazard="error", layouts={"image": "NCHW"})
    exporters.export(loader, "data", name="noise", on_hazard={"default": "error", "drop_last": "ignore"})
    hazards: list[exporters.Hazard] = list(result.hazards)
    counts: exporters.Counts = result.counts["train"]
    print([hazard.name for hazard in hazards], counts.written - counts.read, result.examples["train"], str(counts.expected))
    exporters.stream(loader, unpad={"tokens": "length"})
    return exporters.in_memory(loader, as_supervised=True)


def consume() -> Dataset[object]:
    names: list[str] = tfds_builder.register("data")
    problems: list[tfds_builder.Problem] = tfds_builder.verify(f"data/{names[0]}/1.0.0", deep=True).problems
    print(
        [problem.file for problem in problems if problem.kind == "damaged"],
        tfds_builder.ReadConfig(shuffle_unit="row", shuffle_seed=1),
    )
    dataset = tfds_builder.as_torch(names[0], "train[:80%]", as_supervised=True)
    print(len(dataset), dataset[0], dataset.classes, DataLoader(dataset, batch_size=64))
    return dataset


def mistakes(loader: DataLoader[int]) -> None:
    tfds_builder.registr("data")  # wrong
    exporters.exprt(loader, "data", name="noise")  # wrong
    exporters.export(loader, "data", name="noise", format="parquet")  # wrong
    exporters.export(loader, "data", name="noise", on_hazard="warm")  # wrong
    exporters.export(loader, "data", name="noise", on_hazard={"drop_lst": "ignore"})  # wrong
    exporters.export(loader, "data", name="noise", on_hazard={"drop_last": "ignored"})  # wrong
    exporters.export(loader, "data", nam="noise")  # wrong
    print(exporters.export(loader, "data", name="noise").paths)  # wrong
    print(exporters.export(loader, "data", name="noise").hazards[0].nam)  # wrong
    exporters.in_memory(loader).bach(32)  # wrong
    exporters.stream(loader).bach(32)  # wrong
    exporters.Card(licence="CC0")  # wrong
    tfds_builder.ReadConfig(shuffle_unit="rows")  # wrong
    tfds_builder.as_torch("noise", verify="yes")  # wrong
    print(tfds_builder.as_torch("noise").labels)  # wrong
    print(tfds_builder.verify("data/noise/1.0.0").problems[0].kinds)  # wrong
    tfds_builder.register(loader)  # wrong
