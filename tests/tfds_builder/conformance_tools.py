"""The cases of the grid around `as_dataset`: names, builders, TFDS's helpers.

A string that a case returns is shown in the document; anything else, and what is `Unshown`, is compared only.
"""

from __future__ import annotations

from typing import Any

from conformance_kit import Cases, Side, Unshown, in_order

CASES = Cases()


# --- names -----------------------------------------------------------------------------------------

_LOADS = {
    "`tfds.load('plain', split='train')`": ("plain", {"split": "train"}),
    "`tfds.load('plain', split='train', batch_size=7, as_supervised=True)`": (
        "plain",
        {"split": "train", "batch_size": 7, "as_supervised": True},
    ),
    "`tfds.load('plain')`": ("plain", {}),
    "`tfds.load('plain:1.0.0', split='test')`": ("plain:1.0.0", {"split": "test"}),
    "`tfds.load('plain:1.*.*', split='test')`": ("plain:1.*.*", {"split": "test"}),
    "`tfds.load('plane')`": ("plane", {}),
    "`tfds.load('plain', split='test', download=False)`": ("plain", {"split": "test", "download": False}),
    "`tfds.load('plain', split='test', builder_kwargs={'version': '1.0.0'})`": (
        "plain",
        {"split": "test", "builder_kwargs": {"version": "1.0.0"}},
    ),
}


_NONE = {"`tfds.load('plain:2.0.0')`": ("plain:2.0.0", {}), "`tfds.load('plain/config')`": ("plain/config", {})}


@CASES.each("Names", _LOADS)
@CASES.each("Names", _NONE, differs=frozenset({"error"}), note="there is none; TFDS says it so of a dataset that has code")
def load(side: Side, arguments: tuple[str, dict[str, Any]]) -> Any:
    import tensorflow_datasets as tfds

    name, options = arguments
    with side.registered() as where:
        return tfds.load(name, read_config=in_order(), **where, **options)


@CASES.one("Names", "`tfds.load('plain', split='train', with_info=True)`")
def load_with_info(side: Side) -> Any:
    import tensorflow_datasets as tfds

    with side.registered() as where:
        ds, info = tfds.load("plain", split="train", with_info=True, read_config=in_order(), **where)
    return [ds, info.splits["train"].num_examples, info.features.to_json(), info.supervised_keys, info.description]


@CASES.one("Names", "`tfds.builder('plain').as_dataset(split='test')`")
def builder_of_name(side: Side) -> Any:
    import tensorflow_datasets as tfds

    with side.registered() as where:
        return tfds.builder("plain", **where).as_dataset(split="test", read_config=in_order())


# --- builders --------------------------------------------------------------------------------------


@CASES.one("Builders", "`print(builder.info)`", hdf5=False)
def printed_info(side: Side) -> Any:
    return ["prints it", Unshown(str(side.builder("rich").info))]


@CASES.one("Builders", "`builder.info.splits['train[:30]']`")
def info_of_a_part(side: Side) -> str:
    split = side.builder().info.splits["train[:30]"]
    return f"{split.num_examples} examples in {split.num_shards} shards"


@CASES.one("Builders", "`builder.info.features['label'].names`, `.int2str(1)`")
def class_names(side: Side) -> str:
    label = side.builder().info.features["label"]
    return f"`{label.names}`, `{label.int2str(1)}`"


@CASES.one("Builders", "`builder.download_and_prepare()`")
def prepare(side: Side) -> str:
    side.builder().download_and_prepare()
    return "does nothing"


@CASES.one("Builders", "`builder.is_prepared()`, `builder.version`")
def is_prepared(side: Side) -> str:
    return f"{side.builder().is_prepared()}, {side.builder().version}"


@CASES.each("Builders", {"`pickle.loads(pickle.dumps(builder))`": "pickle", "`copy.deepcopy(builder)`": "copy"})
def copied(side: Side, how: str) -> Any:
    import copy
    import pickle

    again = copy.deepcopy(side.builder()) if how == "copy" else pickle.loads(pickle.dumps(side.builder()))
    return again.as_dataset(split="test", read_config=in_order())


# --- helpers of TFDS -------------------------------------------------------------------------------


@CASES.one("TFDS's helpers", "`tfds.as_numpy(ds)`")
def as_numpy(side: Side) -> Any:
    import consumer_kit as kit
    import tensorflow_datasets as tfds

    examples = list(tfds.as_numpy(side.read("rich", "test")))
    return [f"{len(examples)} examples of NumPy", Unshown([kit.bits(example) for example in examples])]


@CASES.one("TFDS's helpers", "`tfds.as_numpy(builder.as_dataset(batch_size=-1))`")
def as_numpy_whole(side: Side) -> Any:
    import tensorflow_datasets as tfds

    return {
        split: {"image": whole["image"], "id": whole["meta"]["id"]}
        for split, whole in tfds.as_numpy(side.read(split=None, batch_size=-1)).items()
    }


_FRAMES = {"`tfds.as_dataframe(ds, info)`": False, "`tfds.as_dataframe(ds, info)` of pairs": True}


@CASES.each("TFDS's helpers", _FRAMES, needs=("pandas",))
def as_dataframe(side: Side, as_supervised: bool) -> Any:
    import tensorflow_datasets as tfds

    frame = tfds.as_dataframe(side.read("rich", "test", as_supervised=as_supervised), side.builder("rich").info)
    return [f"{len(frame)} rows, columns {', '.join(frame.columns)}", Unshown([frame.to_json(), *map(str, frame.dtypes)])]


_SHOWN = {"`tfds.show_examples(ds, info)` of an `Image`": "rich", "`tfds.show_examples(ds, info)` without one": "plain"}


@CASES.each("TFDS's helpers", _SHOWN, needs=("matplotlib",))
def show_examples(side: Side, dataset: str) -> str:
    import matplotlib
    import tensorflow_datasets as tfds

    matplotlib.use("agg")
    figure = tfds.show_examples(side.read(dataset), side.builder(dataset).info)
    matplotlib.pyplot.close(figure)
    return f"a figure of {len(figure.axes)} images"


@CASES.one(
    "TFDS's helpers", "`tfds.show_statistics(info)`", without=("tensorflow_data_validation",),
    note="needs TensorFlow Data Validation, and statistics that TFDS no longer computes",
)  # fmt: skip
def show_statistics(side: Side) -> Any:
    import tensorflow_datasets as tfds

    return tfds.show_statistics(side.builder().info)


@CASES.one("TFDS's helpers", "`tfds.benchmark(ds, batch_size=7)`", needs=("pandas",))
def benchmark(side: Side) -> str:
    import tensorflow_datasets as tfds

    stats = tfds.benchmark(side.read(batch_size=7), batch_size=7).stats
    return f"{stats['num_examples'].iloc[0]:.0f} examples timed"
