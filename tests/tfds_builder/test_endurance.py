"""Damage and hostile input in numbers: a sample in every run, the whole with `--endurance`, which writes the counts
to docs/reliability.md.

Every input comes from a seed, and a failure names it. What counts as an answer: a right result or a DatasetError.
"""

import collections
import json
import random
import resource
import shutil
import signal

import consumer_kit as kit
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.errors import DatasetError
from tfds_builder.features.feature_json import features_of
from tfds_builder.formats import tfrecord_example as example
from tfds_builder.formats.tfrecord_records import Checker
from tfds_builder.table.single_rows import RowReader, values_of
from tfds_builder.table.table import Segment, Table

pytestmark = pytest.mark.once

SAMPLE, WHOLE = "sample", pytest.param("whole", marks=[pytest.mark.endurance, pytest.mark.timeout(7200)])
amounts = pytest.mark.parametrize("amount", [SAMPLE, WHOLE])
FLIPS = {"sample": 80, "whole": 1000}
CUTS = {"sample": 30, "whole": 200}
INPUTS = {
    "sample": {"manifest": 300, "shard": 120, "records": 400},
    "whole": {"manifest": 40_000, "shard": 15_000, "records": 60_000},
}
NAMES = [name for name in kit.make.names() if not name.startswith("coded")]
SECONDS = 20
"""No single input may take longer."""


# --- damage ----------------------------------------------------------------------------------------


def draw_place(source, directory):
    """A file of a directory and a byte of it, every byte of the directory being as likely as any other."""
    files = sorted(directory.iterdir())
    sizes = [path.stat().st_size for path in files]
    number = source.randrange(sum(sizes))
    for path, size in zip(files, sizes, strict=True):
        if number < size:
            return path, number
        number -= size
    raise AssertionError


def found_by_verify(directory):
    return {problem.file for problem in tfds_builder.verify(directory).problems}


@amounts
def test_bit_flips(amount, tmp_path, endurance):
    """A single flipped bit anywhere in a version directory is found, and the file named."""
    source, kinds, missed = random.Random(1), collections.Counter(), []
    directories = [kit.copy_golden(name, tmp_path) for name in NAMES]
    for number in range(FLIPS[amount]):
        directory = directories[number % len(directories)]
        path, place = draw_place(source, directory)
        whole, bit = path.read_bytes(), source.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        if path.name not in found_by_verify(directory):
            missed.append((path.name, place, bit))
        path.write_bytes(whole)
        kinds[kind_of(path.name)] += 1
    for directory in directories:
        assert found_by_verify(directory) == set()
    endurance(amount, "a bit flipped", sum(kinds.values()), len(missed), f"found by `verify`, the file named: {in_words(kinds)}")
    assert not missed


@amounts
def test_truncations(amount, tmp_path, endurance):
    """A file cut off at any byte is found and named."""
    source, kinds, missed = random.Random(2), collections.Counter(), []
    directories = [kit.copy_golden(name, tmp_path) for name in NAMES]
    for number in range(CUTS[amount]):
        directory = directories[number % len(directories)]
        path, place = draw_place(source, directory)
        whole = path.read_bytes()
        path.write_bytes(whole[:place])
        if path.name not in found_by_verify(directory):
            missed.append((path.name, place))
        path.write_bytes(whole)
        kinds[kind_of(path.name)] += 1
    for directory in directories:
        assert found_by_verify(directory) == set()
    endurance(amount, "a file cut off", sum(kinds.values()), len(missed), f"found by `verify`, the file named: {in_words(kinds)}")
    assert not missed


def in_words(counts):
    """What was counted, the most frequent first."""
    return ", ".join(f"{count:,} {what}" for what, count in counts.most_common())


def kind_of(name):
    kinds = (
        (".h5", "in HDF5 shards"),
        (".index-", "in indexes"),
        (".tfrecord-", "in TFRecord shards"),
        ("manifest.json", "in manifests"),
    )
    return next((kind for mark, kind in kinds if mark in name), "in metadata")


@pytest.mark.parametrize("deep", [False, True])
@kit.every_golden
def test_whole_never_fails(name, deep, golden):
    """A whole dataset has no problems, deep or not."""
    report = tfds_builder.verify(golden / name / "1.0.0", deep=deep)
    assert (report.problems, report.deep, report.not_decoded) == ([], deep, [])


@pytest.mark.needs_torch
@amounts
@kit.both_formats
def test_whole_of_any_shape_never_fails(format, amount, tmp_path):
    """What the exporter publishes has no problems, deep or not: any number of columns, nested or not, of any dtype, rows and
    shards, and values without any bytes."""
    torch = pytest.importorskip("torch")
    exporters = pytest.importorskip("exporters")
    source = np.random.RandomState(5)
    dtypes = [np.dtype(name) for name in ("bool", "u1", "i2", "u4", "i8", "u8", "f2", "f4", "c8")]

    def make_column(rows):
        kind = source.randint(8)
        if kind == 0:
            return ["é\0" * int(source.randint(0, 100)) for _ in range(rows)]
        values = source.randint(0, 2, (rows, *source.randint(0, 4, source.randint(0, 3))))
        return torch.from_numpy(values.astype(dtypes[source.randint(len(dtypes))]))

    for number in range({"sample": 2, "whole": 60}[amount]):
        rows, count = int(source.randint(1, 40)), int(source.choice([1, 3, 8, 9, 40, 120]))
        columns = {f"{'n' * (i % 3)}c{i}": make_column(rows) for i in range(count)}
        examples = [{"a": {key: column[row] for key, column in columns.items()}, "id": row} for row in range(rows)]
        loader = torch.utils.data.DataLoader(examples, batch_size=3)
        exporters.export(loader, tmp_path, name=f"t{number}", format=format, shard_bytes=4000, progress=False)
        for deep in (False, True):
            assert tfds_builder.verify(tmp_path / f"t{number}" / "1.0.0", deep=deep).problems == []
        shutil.rmtree(tmp_path / f"t{number}")


# --- hostile input ---------------------------------------------------------------------------------

VALUES = (
    None, True, -1, 0, 1, 2, 3, 7, 8, 12, 16, 255, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 10**30, 0.5, 1e308, "", "..", "../x",
    "/", "a/b", "\0", "\n", "{}", "$x", "é", "\ud800", [], {}, [[]], [0], [-1], [2**62, 2**62], {"a": {}}, "tfrecord", "hdf5",
    "raw", "varint", "strings", "string", "bool", "uint8", "bfloat16", "complex128", "int64", "1.0.0", "train", "image", "label",
    "os.system", "tensorflow_datasets.core.features.image_feature.Image",
    "tensorflow_datasets.core.features.sequence_feature.Sequence",
)  # fmt: skip


def places(content):
    """Every (container, key) of a JSON document."""
    found, stack = [], [content]
    while stack:
        container = stack.pop()
        items = list(container.items()) if isinstance(container, dict) else list(enumerate(container))
        found += [(container, key) for key, _ in items]
        stack += [value for _, value in items if isinstance(value, dict | list)]
    return found


def mutate_json(source, content):
    """Replaces, drops, doubles or nudges one to three values of a JSON document."""
    for _ in range(source.randint(1, 3)):
        container, key = source.choice(places(content) or [(content, None)])
        action = source.randrange(8)
        if key is None or key not in (container if isinstance(container, dict) else range(len(container))):
            continue
        value = container[key]
        if action == 0:
            del container[key]
        elif action == 1 and isinstance(container, list):
            container.append(json.loads(json.dumps(value)))
        elif action <= 4 and isinstance(value, int):
            container[key] = value + source.choice((-8, -4, -1, 1, 4, 8, 16, 100, -value, value))
        else:
            container[key] = source.choice(VALUES)


def mutate_bytes(source, data):
    """Flips, overwrites, cuts out, doubles or cuts off some bytes."""
    data = bytearray(data)
    for _ in range(source.randint(1, 4)):
        at, count, action = source.randrange(len(data) + 1), source.choice((1, 2, 4, 8, 20)), source.randrange(6)
        if action == 0 and at < len(data):
            data[at] ^= 1 << source.randrange(8)
        elif action == 1:
            data[at : at + count] = source.randbytes(count)
        elif action == 2:
            data[at : at + count] = source.choice((b"\0", b"\xff", b"\x80", b"\x7f")) * count
        elif action == 3:
            del data[at : at + count]
        elif action == 4:
            data[at:at] = data[at : at + count]
        elif source.randrange(4) == 0:
            del data[at:]
    return bytes(data)


class Watch:
    """Counts the outcomes of inputs; an input that takes too long is a TimeoutError, and memory is held to account."""

    def __init__(self):
        self.outcomes, self.inputs, self.lost = collections.Counter(), 0, 0
        self._before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(self, action):
        def too_long(*_):
            raise TimeoutError(f"more than {SECONDS} s")

        before = signal.signal(signal.SIGALRM, too_long)
        signal.alarm(SECONDS)
        try:
            self.outcomes[action()] += 1
        except DatasetError as error:
            self.outcomes[type(error).__name__] += 1
        except BaseException:
            self.lost += 1
            raise
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def fuzz(self, count, draw, report, amount, what):
        """Runs `draw(source of chance)` for so many seeds, which Hypothesis chooses, and reports what came of it."""

        @hypothesis.settings(
            max_examples=count, deadline=None, database=None, derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck), phases=[hypothesis.Phase.generate],
        )  # fmt: skip
        @hypothesis.given(st.integers(0, 2**64 - 1))
        def run(seed):
            self.inputs += 1
            draw(random.Random(seed))

        try:
            run()
        finally:
            more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self._before) / 1024
            text = f"a right result or a `DatasetError`: {in_words(self.outcomes)}; {more:.0f} MB more memory at the peak"
            report(amount, what, self.inputs, self.lost, text)
        assert more < 1000


def read_tables(directory, manifest):
    """Reads every split in blocks, and some rows in no order, as a reader does; what comes must have the shape it should, and
    rows that are read one by one must be those of the block."""
    for split in manifest.splits.values():
        table = Table(directory, manifest, [Segment(shard, 0, shard.rows) for shard in split.shards])
        table.check_files()
        columns = {column.name: column for column in manifest.columns}
        items = [name for name, column in columns.items() if not column.shape and column.dtype.strip("u").startswith("int")]
        reader = RowReader(table, list(columns), items)
        for start in range(0, min(len(table), 100), 30):
            block = table.read(slice(start, start + 30))
            for name, values in block.items():
                assert values.shape == (min(30, len(table) - start), *columns[name].shape)
            rows = zip(*(values_of(block[name], name in items) for name in columns), strict=True)
            for row, values in enumerate(rows):
                assert list(map(kit.typed, reader.read(start + row))) == list(map(kit.typed, values))
        if len(table):
            table.read(np.array([len(table) - 1, 0, len(table) // 2]))


@amounts
def test_fuzz_manifest(amount, golden, endurance):
    """A sealed manifest with anything in it, over files as they were, is read and its tables with it, or is a DatasetError."""
    texts = {name: (golden / name / "1.0.0" / "manifest.json").read_bytes() for name in NAMES}
    watch = Watch()

    def run(source):
        name = source.choice(NAMES)
        if source.randrange(4):
            content = json.loads(texts[name])
            mutate_json(source, content)
            text = kit.seal(content) if isinstance(content, dict) else b"[]"
        else:
            text = kit.seal_text(mutate_bytes(source, texts[name][kit.HEAD_BYTES :]), start=b"{")

        def read():
            manifest = read_lib.parse_manifest(text)
            features_of(manifest)
            read_tables(golden / name / "1.0.0", manifest)
            return "read"

        watch.run(read)

    watch.fuzz(INPUTS[amount]["manifest"], run, endurance, amount, "a hostile manifest")


@amounts
def test_fuzz_shards(amount, tmp_path, endurance):
    """A shard or an index with anything in it, listed with its true size and SHA-256, is read and verified, deep too, without
    an exception that is not a DatasetError; verify never raises."""
    directories = [kit.copy_golden(name, tmp_path) for name in NAMES]
    manifests = {directory: read_lib.read_manifest(directory) for directory in directories}
    watch = Watch()

    def run(source):
        directory = source.choice(directories)
        manifest = manifests[directory]
        shard = source.choice(list(manifest.splits.values())).shards[0]
        file = source.choice(shard.files)
        path = directory / file.file
        whole, listed = path.read_bytes(), (directory / "manifest.json").read_bytes()
        path.write_bytes(mutate_bytes(source, whole))
        sealed = listed.replace(file.sha256.encode(), kit.describe(directory, file.file).sha256.encode())
        size = path.stat().st_size
        if size != file.bytes:
            content = json.loads(sealed)
            for entry in (entry for split in content["splits"] for s in split["shards"] for entry in (s, s.get("index", s))):
                if entry["file"] == file.file:
                    entry["bytes"] = size
            sealed = kit.seal(content)
        else:
            sealed = kit.seal_text(sealed[kit.HEAD_BYTES :], start=b"{")
        (directory / "manifest.json").write_bytes(sealed)

        def verify():
            if tfds_builder.verify(directory, deep=True).problems:
                return "damage found"
            same = path.read_bytes() == whole
            assert same or manifest.format == "hdf5"  # which has no checksums of its own
            try:
                read()
            except DatasetError as error:
                raise AssertionError("verify found nothing, and it cannot be read") from error
            return "nothing changed" if same else "a value changed"

        def read():
            read_tables(directory, read_lib.read_manifest(directory))
            return "read"

        watch.run(read)
        watch.run(verify)
        path.write_bytes(whole)
        (directory / "manifest.json").write_bytes(listed)

    watch.fuzz(INPUTS[amount]["shard"], run, endurance, amount, "a hostile shard or index")


@amounts
def test_fuzz_records(amount, endurance):
    """Bytes given to the checker of records in any pieces are told apart alike, and the reader of Examples ends in an error
    of ours or in runs that lie inside the record."""
    whole = {
        name: next(path.read_bytes() for path in sorted((kit.GOLDEN / name / "1.0.0").iterdir()) if ".tfrecord-" in path.name)
        for name in NAMES
        if name.endswith("tfrecord")
    }
    watch = Watch()

    def run(source):
        name = source.choice(list(whole))
        data = mutate_bytes(source, whole[name])
        array = np.frombuffer(data, np.uint8)

        def check():
            outcomes = []
            for stride, piece in (
                (0, len(data) + 1),
                (16 + int.from_bytes(data[:8], "little"), len(data) + 1),
                (0, 7),
                (109, 64),
            ):
                checker = Checker(min(stride, 2**62))
                for start in range(0, len(data), piece):
                    checker.feed(array[start : start + piece])
                outcomes.append((checker.finish(), checker.problems))
            assert outcomes == outcomes[:1] * 4
            return "damage found" if outcomes[0][1] else "records dropped or doubled"

        def parse():
            start = source.randrange(0, max(1, len(data) - 12))
            record = data[start : start + source.randrange(400)] if source.randrange(2) else data[12:-4]
            for values in example.parse(record).values():
                assert all(0 <= first <= last <= len(record) for first, last in values.runs)
            return "parsed"

        watch.run(check)
        watch.run(parse)

    watch.fuzz(INPUTS[amount]["records"], run, endurance, amount, "hostile records")
