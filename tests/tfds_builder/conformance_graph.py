"""The cases of the grid about tf.data, distribution and Keras. See conformance_tools.py for what a case returns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

from conformance_kit import ROWS, Cases, Side, Unshown, in_order

CASES = Cases()


def numbers(ds: Any) -> list[Any]:
    """`meta/id` of every element of a dataset."""
    return [element["meta"]["id"].numpy().tolist() for element in ds]


# --- tf.data ---------------------------------------------------------------------------------------

_READS: dict[str, tuple[str, int, int, dict[str, Any], dict[str, Any]]] = {
    "`tf.train.Checkpoint` of an iterator of examples, restored mid-epoch": ("plain", 25, 1, {}, {}),
    "the same of `rich`": ("rich", 25, 1, {}, {}),
    "the same of batches": ("plain", 3, 1, {}, {"batch_size": 7}),
    "the same, shuffled": ("rich", 25, 1, {}, {"shuffle_files": True}),
}
"""Dataset, elements taken before the checkpoint, epochs, fields of ReadConfig, arguments of `as_dataset`."""
_LATER = {"the same, shuffled with a `shuffle_seed`, in the second of three epochs": (
    "plain", 92, 3, {"shuffle_seed": 1}, {"shuffle_files": True},
)}  # fmt: skip


@CASES.each("tf.data", _READS)
@CASES.each(
    "tf.data", _LATER, differs=frozenset({"answer"}), by_chance=True, note="the orders of the epochs to come are not saved"
)
def checkpoint(side: Side, arguments: tuple[str, int, int, dict[str, Any], dict[str, Any]]) -> str:
    import tensorflow as tf

    dataset, taken, epochs, fields, options = arguments

    def begin() -> Any:
        return iter(side.read(dataset, read_config=in_order(try_autocache=False, **fields), **options).repeat(epochs))

    iterator = begin()
    for _ in range(taken):
        next(iterator)
    path = tf.train.Checkpoint(iterator=iterator).save(str(side.tmp / "checkpoint"))
    rest = numbers(iterator)
    again = begin()  # of another dataset, as in another process
    tf.train.Checkpoint(iterator=again).restore(path)
    found, left = numbers(again), len(rest) % ROWS["train"]
    if found == rest:
        return f"goes on exactly with the remaining {len(rest)}"
    assert found[:left] == rest[:left]
    assert sorted(found[left:]) == sorted(rest[left:])
    return f"goes on exactly with the remaining {left} of the epoch; the next one is in another order"


@CASES.one("tf.data", "the same of batches, restored in another process", slow=True)
def checkpoint_of_another_process(side: Side) -> str:
    saved = _run(side, """
        iterator = iter(side.read("rich", batch_size=7))
        next(iterator), next(iterator)
        tf.train.Checkpoint(iterator=iterator).save(str(side.tmp / "other"))
        answer = [batch["meta"]["id"].numpy().tolist() for batch in iterator]
    """)  # fmt: skip
    restored = _run(side, """
        iterator = iter(side.read("rich", batch_size=7))
        tf.train.Checkpoint(iterator=iterator).restore(tf.train.latest_checkpoint(str(side.tmp)))
        answer = [batch["meta"]["id"].numpy().tolist() for batch in iterator]
    """)  # fmt: skip
    return f"goes on {'exactly' if saved == restored else 'wrongly'} with the remaining {len(saved)}"


@CASES.each("tf.data", {"`ds.save(path)`, `tf.data.Dataset.load(path)`": {}, "the same with `batch_size=7`": {"batch_size": 7}})
def saved(side: Side, options: dict[str, Any]) -> Any:
    import tensorflow as tf

    side.read("rich", **options).save(str(side.tmp / "saved"))
    return tf.data.Dataset.load(str(side.tmp / "saved"))


@CASES.one("tf.data", "`ds.shard(2, 1)`, `ds.cache()`, `ds.repeat(2)`")
def transformed(side: Side) -> Any:
    ds = side.read()
    return [ds.shard(2, 1), ds.cache(), ds.repeat(2)]


@CASES.one("tf.data", "`for example in ds` inside a `tf.function`")
def looped(side: Side) -> str:
    import tensorflow as tf

    ds = side.read()

    @tf.function
    def total() -> Any:
        sum_ = tf.constant(0, tf.int64)
        for example in ds:
            sum_ += example["meta"]["id"]
        return sum_

    return f"sum of ids {int(total())}"


@CASES.one("tf.data", "`ds.options()` with `ReadConfig(options=...)`")
def options(side: Side) -> str:
    import tensorflow as tf

    wanted = tf.data.Options()
    wanted.threading.private_threadpool_size = 3
    wanted.deterministic = False
    found = side.read(read_config=in_order(options=wanted)).options()
    return f"`private_threadpool_size={found.threading.private_threadpool_size}`, `deterministic={found.deterministic}`"


_SEEDS = {
    "two reads with one `shuffle_seed`": ({"shuffle_seed": 1}, "reads"),
    "two epochs with one `shuffle_seed`": ({"shuffle_seed": 1}, "epochs"),
    "two epochs with `shuffle_reshuffle_each_iteration=False`": (
        {"shuffle_seed": 1, "shuffle_reshuffle_each_iteration": False},
        "epochs",
    ),
}


@CASES.each("Shuffling", _SEEDS)
def orders(side: Side, arguments: tuple[dict[str, Any], str]) -> str:
    fields, what = arguments
    ds = side.read(shuffle_files=True, read_config=in_order(try_autocache=False, **fields))
    other = side.read(shuffle_files=True, read_config=in_order(try_autocache=False, **fields)) if what == "reads" else ds
    found = [numbers(ds) for _ in range(3)]
    again = [numbers(other) for _ in range(3)] if what == "reads" else [found[0]] * 3
    return "the same order" if found == again else "another order"


# --- distribution and Keras ------------------------------------------------------------------------

_DISTRIBUTION = "Distribution and Keras"
_POLICIES = {f"`AutoShardPolicy.{name}`, two workers": name for name in ("DATA", "OFF", "AUTO", "FILE")}
_DATA, _OFF, _AUTO, _FILE = ({what: name} for what, name in _POLICIES.items())
_NO_FILES = "no file reader in the graph to shard; AUTO and DATA work, and `ReadConfig(input_context=...)` shards by file"


@CASES.each(_DISTRIBUTION, _DATA | _OFF)
@CASES.each(_DISTRIBUTION, _AUTO, differs=frozenset({"answer"}), note="stock shards by file, torch2tfds by example: more even")
@CASES.each(_DISTRIBUTION, _FILE, differs=frozenset({"error"}), note=_NO_FILES)
def auto_shard(side: Side, policy: str) -> str:
    return _auto_shard(side, policy)


_NO_SEED = {"`AutoShardPolicy.AUTO` and `shuffle_files=True`, two workers": "AUTO"}
_OWN_SHUFFLE = "each worker shuffles for itself and takes every second: **give a `shuffle_seed`**"


@CASES.each(_DISTRIBUTION, _NO_SEED, differs=frozenset({"answer"}), note=_OWN_SHUFFLE)
def auto_shard_shuffled(side: Side, policy: str) -> str:
    return _auto_shard(side, policy, shuffle_files=True).partition(",")[2].strip()


@CASES.one(_DISTRIBUTION, "the same with `shuffle_seed=1`")
def auto_shard_seeded(side: Side) -> str:
    return _auto_shard(side, "AUTO", seed=1, shuffle_files=True).partition(",")[2].strip()


def _auto_shard(side: Side, policy: str, seed: int | None = None, **read: Any) -> str:
    import tensorflow as tf
    from tensorflow.python.data.experimental.ops import distribute

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = getattr(tf.data.experimental.AutoShardPolicy, policy)
    # without try_autocache=False two workers in one process would share one cache
    config = in_order(options=options, shuffle_seed=seed, try_autocache=False)
    parts = [numbers(distribute._AutoShardDataset(side.read(read_config=config, **read), 2, index)) for index in range(2)]
    times = {sum(part.count(number) for part in parts) for number in range(ROWS["train"])}
    words = " or ".join(("never", "once", "twice")[count] for count in sorted(times))
    return f"{len(parts[0])} and {len(parts[1])} examples, each {words}"


def _run(side: Side, body: str) -> Any:
    """Runs code in a process with two logical CPUs; returns the `answer` it assigns."""
    code = f"""
import json, pathlib, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import tensorflow as tf
from conformance_kit import Side, in_order
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
side = Side({side.name!r}, pathlib.Path({os.fspath(side.data_dir)!r}), pathlib.Path({os.fspath(side.tmp or "")!r}))
{textwrap.dedent(body)}
print("answer " + json.dumps(answer))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("answer ")[2])


_DISTRIBUTE = """
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
pick = (lambda element: element[1]) if {supervised} else (lambda element: element["label"])
ds = side.read(batch_size=8, as_supervised={supervised})
answer = [
    [len(part) for part in strategy.experimental_local_results(pick(element))]
    for element in strategy.experimental_distribute_dataset(ds)
]
"""


@CASES.one(_DISTRIBUTION, "`MirroredStrategy` of two, `experimental_distribute_dataset` of pairs", slow=True)
def distribute_pairs(side: Side) -> str:
    return _distribute(side, True)


@CASES.one(
    _DISTRIBUTION, "`MirroredStrategy` of two, `experimental_distribute_dataset` of dicts", slow=True,
    differs=frozenset({"answer"}), note="the short last batch is dealt out to both replicas, as that of pairs is by stock",
)  # fmt: skip
def distribute_dicts(side: Side) -> str:
    return _distribute(side, False)


def _distribute(side: Side, supervised: bool) -> Any:
    sizes = _run(side, _DISTRIBUTE.format(supervised=supervised))
    return f"{sum(map(sum, sizes))} examples in {len(sizes)} steps; the last has {sizes[-1][0]} + {sizes[-1][1]}"


@CASES.one(_DISTRIBUTION, "`MirroredStrategy` of two, `distribute_datasets_from_function`", slow=True)
def from_function(side: Side) -> str:
    sizes = _run(side, """
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        def make(context):
            return side.read(batch_size=context.get_per_replica_batch_size(8), read_config=in_order(input_context=context))
        answer = [
            [len(part) for part in strategy.experimental_local_results(element["label"])]
            for element in strategy.distribute_datasets_from_function(make)
        ]
    """)  # fmt: skip
    return f"{sum(map(sum, sizes))} examples in {len(sizes)} steps; the last has {sizes[-1][0]} + {sizes[-1][1]}"


@CASES.one(_DISTRIBUTION, "`model.fit` under a `MirroredStrategy` of two", slow=True)
def fit_mirrored(side: Side) -> Any:
    losses = _run(side, """
        import keras
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        ds = side.read(batch_size=8, as_supervised=True)
        answer = [round(loss, 3) for loss in model.fit(ds, epochs=2, verbose=0, shuffle=False).history["loss"]]
    """)  # fmt: skip
    return ["trains", Unshown(losses)]


@CASES.one(_DISTRIBUTION, "`model.fit(ds, epochs=2)`")
def fit(side: Side) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 5, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ds = side.read(batch_size=8, as_supervised=True)
    return ["trains", Unshown(model.fit(ds, epochs=2, verbose=0, shuffle=False).history["loss"])]


@CASES.one(
    _DISTRIBUTION, "`tf.data.experimental.service.distribute`, a worker in another process", slow=True,
    differs=frozenset({"answer"}), note="the reader is Python in the process that made the dataset; `tfds.even_splits` instead",
)  # fmt: skip
def service(side: Side) -> str:
    return _run(side, """
        import subprocess
        dispatcher = tf.data.experimental.service.DispatchServer()
        address = dispatcher.target.split("://")[1]
        code = (
            "import sys, tensorflow as tf; config = tf.data.experimental.service.WorkerConfig(sys.argv[1]);"
            "server = tf.data.experimental.service.WorkerServer(config); sys.stdin.read()"
        )
        worker = subprocess.Popen([sys.executable, "-c", code, address], stdin=subprocess.PIPE)
        distribute = tf.data.experimental.service.distribute("parallel_epochs", dispatcher.target)
        try:
            answer = f"{len(list(side.read().apply(distribute)))} elements"
        except tf.errors.OpError as error:
            answer = f"`{type(error).__name__}`"
        worker.stdin.close()
        worker.wait()
    """)  # fmt: skip
