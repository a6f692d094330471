"""The differential grid: one export, read by stock TFDS and by this package, compared, and written down in words."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import consumer_kit as kit
import numpy as np

DOCUMENT = kit.TESTS.parent / "docs" / "tfds_compatibility.md"
ROWS = {"train": 67, "test": 12, "few": 1}
CLASSES = ("cat", "dog", "cow")
BATCH = 10
SHARD_BYTES = {"plain": 2200, "rich": 4400}


# --- what is read ----------------------------------------------------------------------------------


def publish(data_dir: pathlib.Path) -> None:
    """Exports `plain` (features of a fixed size) and `rich` (text and PNG too), TFRecord and HDF5, several shards each."""
    import tensorflow_datasets as tfds
    from torch.utils.data import DataLoader

    import exporters

    for name, shard_bytes in SHARD_BYTES.items():
        features: dict[str, Any] = {"label": tfds.features.ClassLabel(names=CLASSES)}
        if name == "rich":
            features["photo"] = tfds.features.Image(shape=(4, 5, 3))
        loaders = {split: DataLoader(_rows(name, split), batch_size=BATCH) for split in ROWS}
        for format in kit.FORMATS:
            exporters.export(
                loaders, data_dir / format, name=name, format=format, features=features, supervised_keys=("image", "label"),
                card=exporters.Card(description="A grid."), shard_bytes=shard_bytes, progress=False, on_hazard="ignore",
            )  # fmt: skip


def _rows(name: str, split: str) -> list[dict[str, Any]]:
    import torch

    random = np.random.RandomState(len(split))

    def picture() -> Any:
        return torch.from_numpy(random.randint(0, 256, (3, 4, 5)).astype(np.uint8))

    def row(number: int) -> dict[str, Any]:
        meta = {"id": number, "box": torch.from_numpy(random.rand(4).astype(np.float32))}
        out = {"image": picture(), "label": int(random.randint(len(CLASSES))), "meta": meta}
        if name == "rich":
            out["photo"] = picture()
            meta["caption"] = "é" * int(random.randint(9))
        return out

    start = 100 * list(ROWS).index(split)
    return [row(start + number) for number in range(ROWS[split])]


@dataclasses.dataclass(frozen=True)
class Side:
    """One reader of the export.

    Attributes:
      name: "stock" (TFDS alone), "tfrecord" or "hdf5" (this package).
      data_dir: where the datasets lie.
      tmp: an empty directory.
    """

    name: str
    data_dir: pathlib.Path
    tmp: pathlib.Path | None = None

    @property
    def is_stock(self) -> bool:
        return self.name == "stock"

    def builder(self, dataset: str = "plain") -> Any:
        """The builder of a dataset, straight from its directory; the same one each time."""
        return _builder(self.is_stock, self.data_dir / dataset / "1.0.0")

    @contextlib.contextmanager
    def registered(self) -> Any:
        """While it lasts, `tfds.load(name, **where)` finds the datasets: stock by their data_dir, ours by their name."""
        import tfds_builder
        from tfds_builder.finding.provider import catalog

        before = dict(catalog._builders)
        catalog._builders.clear()
        try:
            if not self.is_stock:
                tfds_builder.register(self.data_dir)
            yield {"data_dir": self.data_dir} if self.is_stock else {}
        finally:
            catalog._builders.clear()
            catalog._builders.update(before)

    def read(self, dataset: str = "plain", split: Any = "train", read_config: Any = None, **arguments: Any) -> Any:
        """`as_dataset`, in the order of the files unless a ReadConfig says otherwise."""
        return self.builder(dataset).as_dataset(split=split, read_config=read_config or in_order(), **arguments)


@functools.cache
def _builder(is_stock: bool, directory: pathlib.Path) -> Any:
    import tensorflow_datasets as tfds

    import tfds_builder

    return (tfds.builder_from_directory if is_stock else tfds_builder.builder_from_directory)(directory)


def in_order(**fields: Any) -> Any:
    """A ReadConfig with which stock TFDS reads file after file, as this package always does."""
    import tensorflow_datasets as tfds

    return tfds.ReadConfig(**{"interleave_cycle_length": 1, **fields})


# --- what is asked ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One question to both readers, and a row of the document.

    Attributes:
      section: the table it stands in.
      what: Markdown, as the caller would write it.
      ask: what is done with one side; a dataset, a structure of them, or anything comparable.
      differs: the aspects that must differ, of "error", "structure", "spec", "cardinality", "options", "order", "values"
        and "answer".
      note: why it differs; required then.
      hdf5: whether an HDF5 export must give the same as a TFRecord export.
      needs: modules without which it cannot be asked.
      without: modules whose presence changes the answer of both.
      slow: whether it is left to the endurance tests.
      by_chance: whether it may come out the same for once, by how far TensorFlow has read ahead.
    """

    section: str
    what: str
    ask: Callable[[Side], Any]
    differs: frozenset[str] = frozenset()
    note: str = ""
    hdf5: bool = True
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    slow: bool = False
    by_chance: bool = False

    def __post_init__(self) -> None:
        if self.differs and not self.note:
            raise ValueError(f"{self.what}: a difference needs its reason")

    @property
    def id(self) -> str:
        return f"{self.section}: {self.what.replace('`', '')}"


Ask = Callable[..., Any]


class Cases(list[Case]):
    """Cases made of functions."""

    def one(self, section: str, what: str, **fields: Any) -> Callable[[Ask], Ask]:
        """Makes a case of the function below it, which takes a side."""
        return self.each(section, {what: None}, **fields)

    def each(self, section: str, values: dict[str, Any], **fields: Any) -> Callable[[Ask], Ask]:
        """Makes a case of the function below it for every row's text, with its value as second argument unless it is None."""

        def add(ask: Ask) -> Ask:
            for what, value in values.items():
                self.append(Case(section, what, ask if value is None else functools.partial(_with, ask, value), **fields))
            return ask

        return add


def _with(ask: Ask, value: Any, side: Side) -> Any:
    return ask(side, value)


@dataclasses.dataclass(frozen=True)
class Unshown:
    """Part of an answer that is compared and not shown."""

    value: Any


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of asking, in parts that are compared one by one; `answer` is what is no dataset and no tensor."""

    error: type[BaseException] | None = None
    structure: Any = None
    spec: tuple[Any, ...] = ()
    cardinality: tuple[int, ...] = ()
    options: tuple[Any, ...] = ()
    values: tuple[list[Any], ...] = ()
    answer: tuple[Any, ...] = ()


def observe(case: Case, side: Side) -> Outcome:
    """Asks one side and drains every dataset it gives."""
    try:
        with warnings.catch_warnings():
            if side.is_stock:  # what TFDS and TensorFlow warn of is theirs
                warnings.simplefilter("ignore")
            leaves: list[tuple[Any, ...]] = []
            structure = _collect(case.ask(side), leaves)
    except Exception as error:
        return Outcome(error=type(error))
    datasets = [leaf for leaf in leaves if len(leaf) > 1]
    spec, cardinality, options, values = zip(*datasets, strict=True) if datasets else ((),) * 4
    return Outcome(None, structure, spec, cardinality, options, values, tuple(leaf[0] for leaf in leaves if len(leaf) == 1))


def _collect(value: Any, leaves: list[tuple[Any, ...]]) -> Any:
    """The skeleton of a structure, whose leaves are appended to `leaves`."""
    import tensorflow as tf

    if isinstance(value, dict):
        return {key: _collect(value[key], leaves) for key in value}
    if isinstance(value, tuple | list):
        return [_collect(item, leaves) for item in value]
    if isinstance(value, tf.data.Dataset):
        elements = [kit.bits(element) for element in value.as_numpy_iterator()]
        leaves.append((value.element_spec, int(value.cardinality()), value.options(), elements))
        return "dataset"
    if isinstance(value, tf.Tensor | np.ndarray):
        leaves.append((kit.bits(np.asarray(value)),))
        return "tensor"
    leaves.append((value,))
    return "answer"


def differences(one: Outcome, other: Outcome) -> frozenset[str]:
    """The aspects in which the second differs from the first; an error of a subclass is the same error."""
    if one.error or other.error:
        same = one.error and other.error and issubclass(other.error, one.error)
        return frozenset() if same else frozenset({"error"})
    found = {
        name for name in ("structure", "spec", "cardinality", "options", "answer") if getattr(one, name) != getattr(other, name)
    }
    if one.values != other.values:
        sorts = [[sorted(map(repr, elements)) for elements in outcome.values] for outcome in (one, other)]
        found.add("order" if sorts[0] == sorts[1] else "values")
    return frozenset(found)


# --- in words --------------------------------------------------------------------------------------


def describe(outcome: Outcome, differ: frozenset[str]) -> str:
    """What came of asking, for a cell of the table; the cardinality is told where it differs."""
    if outcome.error:
        names = [kind.__name__ for kind in outcome.error.__mro__ if not kind.__module__.startswith("tensorflow.python.autograph")]
        return f"`{names[0]}`"
    if outcome.answer and not outcome.values:
        texts = [answer for answer in outcome.answer if isinstance(answer, str)]
        return ", ".join(texts) if texts else "tensors"
    counts = ", ".join(str(len(elements)) for elements in outcome.values)
    kind = "" if len(outcome.values) == 1 else "dict of " if isinstance(outcome.structure, dict) else "list of "
    words = f"{kind}{counts} element{'s' * (counts != '1')}" if counts else "an empty list"
    if "cardinality" in differ:
        known = {-1: "infinite", -2: "unknown"}
        words += f", cardinality {', '.join(known.get(n, str(n)) for n in outcome.cardinality)}"
    return words


def row_of(case: Case, stock: Outcome, ours: Outcome) -> str:
    """A line of the document's table."""
    differ = differences(stock, ours)
    words = "the same"
    if differ == {"order"}:
        words = "**the same, in another order**"
    elif differ:
        words = f"**{describe(ours, differ)}**"
    cells = (case.what, describe(stock, differ), words, case.note)
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


INTRODUCTION = """\
# Will my tfds.load call work?

Made by the tests: `tests/tfds_builder/test_conformance.py` reads one export twice, with stock TFDS and with torch2tfds,
and compares `element_spec`, values bit for bit, order, cardinality, options and the type of the error. Every row is such a
test, and fails when this page says something else. To write it anew:

    python -m pytest --endurance tests/tfds_builder/test_conformance.py -k "not combinations" --write-compatibility

Rows that need what is not installed stay as they are; those that need Apache Beam are checked by `tox run -e convert`.

The export has the splits `train` (67 examples in several shards), `test` (12) and `few` (1), with the features `image`
(uint8), `label` (3 classes), `meta/id` and `meta/box`; a second one, `rich`, has also `meta/caption` (text) and `photo`
(PNG). Unless the row says otherwise, `split="train"` is read with `ReadConfig(interleave_cycle_length=1)`: stock TFDS then
reads file after file, as torch2tfds always does. **Without it torch2tfds still gives the order of the DataLoader, and stock
TFDS does not.** `Skip` and `Partial` are `tfds.decode.SkipDecoding` and `tfds.decode.PartialDecoding`; `mirrored` and `scaled`
are made with `tfds.decode.make_decoder`.

"The same" is the same in every respect; an error is the same if the same `except` catches it. What torch2tfds reads of an
HDF5 export is element for element what it reads of a TFRecord export; only `tfds_id` and printed infos name other files,
and where shards hold other numbers of rows, `[:2shard]` and `input_context` deal other rows. Stock TFDS reads no HDF5. The
cardinality of batches is known to torch2tfds also where stock says unknown (`assert_cardinality=False`, or
`input_context`, of rows of different lengths).

A larger grid (`pytest --endurance`) reads the two exports in {combinations} combinations of splits, batch sizes,
`as_supervised`, decoders and ReadConfigs; there is no difference.
"""
HEAD = "| what | stock TFDS | torch2tfds | note |\n|---|---|---|---|\n"


NAMES = """\
torch2tfds after `tfds_builder.register(data_dir)`, stock TFDS with `data_dir=`.

Whose reader it is, where both could be: TFDS 4.9.10 prefers files to code where a version is named
(`tfds.load("plain:1.0.0")`), or a config that no code has, and looks for the files in `data_dir=`, or else in
`TFDS_DATA_DIR` (by default `~/tensorflow_datasets`) and what `tfds.core.add_data_dir` was told. What it finds there as
TFRecord its own reader reads: the same values, slower, in its own order. There is no way to be asked first, so
`register` warns of a data_dir where TFDS looks by itself. In the namespace of `register`,
`tfds.load("torch2tfds:plain:1.0.0")`, the reader is always that of torch2tfds. Without a version it is, too.

`tfds.list_builders()` lists what is registered, by its plain name; `with_community_datasets=False` leaves it out, with
everything else that TFDS did not bring itself.

Stock TFDS takes the newest version directory and no other where it is told no version (or `1.*.*`), and finds nothing
if that is HDF5, which it cannot read, even if an older one is TFRecord. An HDF5 directory cannot be made invisible to
it: its name is a version. So an export that hides TFRecord versions like that warns; name the version
(`tfds.load("plain:1.0.0", data_dir=...)`), give HDF5 a dataset name or a config of its own, or `register` first."""
SECTIONS = {
    "Names": NAMES,
    "tfds convert_format": "Stock TFDS reads: on the left the export, on the right what it was converted to.\n"
    "With `--out_dir`, TFDS 4.9.10 needs `--only_log_errors` for any dataset: it looks for the new shards in the old directory.",
}
"""What is said above the table of a section."""


def render(cases: list[Case], rows: dict[str, str], combinations: int) -> str:
    """The document, from the row of each case by its id."""
    parts = [INTRODUCTION.format(combinations=f"{combinations:,}")]
    wanted = [case for case in cases if case.differs]
    parts.append("\n## What differs\n\n" + HEAD + "".join(f"{rows[case.id]}\n" for case in wanted))
    for section in dict.fromkeys(case.section for case in cases):
        lines = [rows[case.id] for case in cases if case.section == section]
        said = f"{SECTIONS[section]}\n\n" if section in SECTIONS else ""
        parts.append(f"\n## {section}\n\n" + said + HEAD + "".join(f"{line}\n" for line in lines))
    return "".join(parts)


def rows_of(text: str, cases: list[Case]) -> dict[str, str]:
    """The rows of a document by the id of their case; those without a case are left out."""
    by_row = {(case.section, _cell(case.what)): case.id for case in cases}
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        for line in body.splitlines():
            key = (title, re.split(r"(?<!\\) \| ", line.removeprefix("| "))[0])
            if key in by_row:
                found[by_row[key]] = line
    return found


def write(cases: list[Case], found: dict[str, str], combinations: int) -> None:
    """Writes the document; the rows of cases that did not run stay as they are."""
    before = rows_of(DOCUMENT.read_text("utf-8"), cases) if DOCUMENT.exists() else {}
    rows = before | found
    missing = [case.id for case in cases if case.id not in rows]
    if missing:
        raise ValueError(f"these cases did not run, so {DOCUMENT.name} is not written: {missing}")
    DOCUMENT.write_text(render(cases, rows, combinations), "utf-8")
