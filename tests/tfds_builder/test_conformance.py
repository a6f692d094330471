"""The grid: one export, read by stock TFDS and by this package, is the same but where docs/tfds_compatibility.md says why not."""

import dataclasses
import importlib.util
import itertools

import conformance_convert as convert
import conformance_graph as graph
import conformance_kit as grid
import conformance_reads as reads
import conformance_tools as tools
import pytest

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_tensorflow]

CASES = [*reads.CASES, *tools.CASES, *graph.CASES, *convert.CASES]


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The directories of the export, made once."""
    pytest.importorskip("torch")
    pytest.importorskip("h5py")
    data_dir = tmp_path_factory.mktemp("conformance")
    grid.publish(data_dir)
    return {
        "stock": grid.Side("stock", data_dir / "tfrecord"),
        "tfrecord": grid.Side("tfrecord", data_dir / "tfrecord"),
        "hdf5": grid.Side("hdf5", data_dir / "hdf5"),
    }


@pytest.fixture
def sides(exported, tmp_path):
    """The three readers, each with an empty directory of its own."""
    out = {}
    for name, side in exported.items():
        (tmp_path / name).mkdir()
        out[name] = dataclasses.replace(side, tmp=tmp_path / name)
    return out


@pytest.fixture(scope="session")
def written():
    """The rows of the committed document, by case."""
    return grid.rows_of(grid.DOCUMENT.read_text("utf-8"), CASES) if grid.DOCUMENT.exists() else {}


@pytest.fixture(scope="session")
def is_writing(request):
    """Whether the document is to be written, not compared."""
    return request.config.getoption("--write-compatibility")


@pytest.fixture(scope="session")
def found(is_writing):
    """The rows found so far; the document is written from them in the end, if it is to be."""
    rows = {}
    yield rows
    if is_writing:
        grid.write(CASES, rows, 2 * len(COMBINATIONS))


def marked(case):
    return pytest.param(case, id=case.id, marks=[pytest.mark.endurance] if case.slow else [])


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_case(case, sides, written, found, is_writing):
    """What is asked of stock TFDS and of this package has the same outcome, of both formats, or differs exactly as the
    case says and for the reason it gives; and the row of the document is what came of it."""
    for module in case.needs:
        pytest.importorskip(module)
    if any(importlib.util.find_spec(module) for module in case.without):
        pytest.skip(f"{case.without} is installed")
    stock, ours = grid.observe(case, sides["stock"]), grid.observe(case, sides["tfrecord"])
    if case.by_chance and not grid.differences(stock, ours) and not is_writing:
        return
    assert grid.differences(stock, ours) == case.differs, (stock, ours)
    if case.hdf5:
        other = grid.observe(case, sides["hdf5"])
        random = case.differs and "shuffle_files=True" in case.what
        assert grid.differences(ours, other) == frozenset() or (random and grid.differences(ours, other) == {"order"})
    row = grid.row_of(case, stock, ours)
    if is_writing:
        found[case.id] = row
    else:
        assert written.get(case.id) == row, "docs/tfds_compatibility.md is out of date; write it with --write-compatibility"


def test_document(written, is_writing):
    """The document is made of the rows of the cases, every one and no other, and of nothing else."""
    if is_writing:
        pytest.skip("it is being written")
    assert set(written) == {case.id for case in CASES}
    assert grid.DOCUMENT.read_text("utf-8") == grid.render(CASES, written, len(COMBINATIONS) * 2)


def test_every_field_of_read_config():
    """Every field of `tfds.ReadConfig`, also one that a new TFDS brings, has a row in the document."""
    import tensorflow_datasets as tfds

    shown = " ".join(case.what for case in CASES)
    assert [field.name for field in dataclasses.fields(tfds.ReadConfig) if f"{field.name}=" not in shown] == []


def test_every_case_is_its_own():
    """No two cases share a row, so none can hide the other."""
    ids = [case.id for case in CASES]
    assert sorted(set(ids)) == sorted(ids)


# --- every combination -----------------------------------------------------------------------------

MANY = {
    "split": [
        "'train'", "'train[10%:]'", "'train[:3]+test'", "'all'", "even_splits('train', n=3)[1]",
        "ReadInstruction('train', from_=7, to=-7, unit='abs')", "{'a': 'train[15:50]', 'b': ['few', 'test[:2]']}",
    ],
    "batch_size": ["None", "1", "7", "256", "-1"],
    "as_supervised": ["False", "True"],
    "decoders": ["None", "{'image': Skip()}", "{'image': mirrored()}", "Partial({'image', 'label'})"],
    "read_config": [
        "{}", "{'add_tfds_id': True}", "{'assert_cardinality': False, 'skip_prefetch': True}",
        "{'try_autocache': False, 'num_parallel_calls_for_decode': 1}",
    ],
}  # fmt: skip
COMBINATIONS = list(itertools.product(*MANY.values()))


@pytest.mark.endurance
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("split", MANY["split"])
@pytest.mark.parametrize("dataset", ["plain", "rich"])
def test_combinations(dataset, split, exported):
    """Every combination of split, batch size, as_supervised, decoders and ReadConfig gives what stock TFDS gives."""
    for combination in (values for values in COMBINATIONS if values[0] == split):
        *arguments, config = zip(MANY, combination, strict=True)
        code = ", ".join(f"{name}={value}" for name, value in arguments)

        def ask(side, code=code, config=config[1]):
            return side.read(dataset, read_config=grid.in_order(**reads.evaluate(config)), **reads.evaluate(f"dict({code})"))

        case = grid.Case("all", f"{code}, {config[1]}", ask)
        stock, ours = (grid.observe(case, exported[name]) for name in ("stock", "tfrecord"))
        assert grid.differences(stock, ours) == frozenset(), (case.what, stock, ours)
        assert not stock.error, case.what
        if "tfds_id" not in config[1]:
            assert grid.differences(ours, grid.observe(case, exported["hdf5"])) == frozenset(), case.what
