"""The walls of the house as docs/architecture.md draws them: which room may import which, and who alone knows a heavy package."""

import ast
import pathlib
import re

import pytest

import exporters
import tfds_builder
from tfds_builder.formats import NAMES

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = {package.__name__: pathlib.Path(package.__file__).parent for package in (exporters, tfds_builder)}
ALONE = {
    "torch": ["exporters.demo", "exporters.tensors.pytorch", "tfds_builder.torch_dataset"],
    "tensorflow": [
        "exporters.live",
        "tfds_builder.readers.decode_graph",
        "tfds_builder.readers.restore_graph",
        "tfds_builder.readers.tf_data",
    ],
    "h5py": ["exporters.formats.hdf5"],
    "PIL": ["exporters.command.picture", "exporters.features.codecs", "exporters.features.encoders", "tfds_builder.site.tiles"],
    "jinja2": ["tfds_builder.site.render"],
    "pickle": ["exporters.draws.pickling"],
}
"""Modules that may import a package, wherever in them; tried without these packages by tests of their own."""
NAME_FORMATS = {
    "exporters.cli", "exporters.export",  # which one it is unless another is asked for
    "exporters.demo",  # writes one of each
    "exporters.outcome",  # what a type checker lets a caller write
    "exporters.schema.no_label",  # the line that mends a loader
}  # fmt: skip
"""Modules outside of the rooms `formats` that name a format."""
ASK_FOR_AN_INDEX = {"tfds_builder.contract.shards"}
"""Modules of the consumer, outside of `formats`, that look whether a shard has an index: it reads and writes what is there."""
OPEN_FILES = {
    "tfds_builder.contract.directory": "it is what all others ask",
    "tfds_builder.catalog.builder_module": "the template of the generated module, which lies in this package",
    "tfds_builder.finding.search_path": "the user's own file of directories, which is no part of a directory of datasets",
    "tfds_builder.finding.provider": "TFDS wants a path for a namespace, and looks at nothing there",
    "tfds_builder.errors": "whose a file is that may not be read",
    "tfds_builder.command": "where this package itself is installed",
    "tfds_builder.site.render": "the templates of pages, which lie in this package",
}
"""Modules of the consumer that open files or join paths, and why."""
OF_FILES = {
    "os": {
        "access", "link", "listdir", "lstat", "makedirs", "mkdir", "open", "readlink", "remove", "rename", "replace", "rmdir",
        "scandir", "stat", "symlink", "unlink", "walk",
    },
    "os.path": {
        "abspath", "exists", "getmtime", "getsize", "isdir", "isfile", "islink", "join", "lexists", "realpath", "samefile",
    },
    "pathlib": {"Path"}, "io": {"open"},
    "": {"open"},
}  # fmt: skip
"""Functions by which a file is opened, looked at or written, by module."""
OF_PATHS = {
    "glob", "is_dir", "is_file", "is_symlink", "iterdir", "joinpath", "lstat", "mkdir", "read_bytes", "read_text", "rglob",
    "rmdir", "samefile", "touch", "unlink", "write_bytes", "write_text",
}  # fmt: skip
"""Methods by which a path does so."""
NAME = re.compile(r"""^f?['"]|(file|FILENAME|name|config|version|dir(ectory)?|path|root)$""")
"""What stands on a side of `/` that joins a path."""
LINES, MODULES = 410, 10
"""Most lines of a module, and most modules of a room."""


def modules():
    """Every module of both packages by its full name, with its syntax tree."""
    found = {}
    for name, root in PACKAGES.items():
        for path in root.rglob("*.py"):
            parts = [name, *path.relative_to(root).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


TREES = modules()


def walk(tree, types):
    """The nodes of a module; `types` says whether those are among them that only type checkers see."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if types or not (isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)


def imports_of(module, *, types=True):
    """Every module that one imports, wherever in it; of a package of ours, the module that a name is of."""
    for node in walk(TREES[module], types):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name not in PACKAGES)  # to ask where it is, say
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in TREES else node.module


def room_of(module):
    """`exporters.jobs` of `exporters.plans.plan`."""
    return ".".join(module.split(".")[:2])


def drawn():
    """By room, the rooms it may import, as the tables of docs/architecture.md have them."""
    text, package, rooms, first = (ROOT / "docs" / "architecture.md").read_text(), "", {}, {}
    for line in text.splitlines():
        if found := re.match(r"## Rooms of .*`(\w+)/`", line):
            package = found[1]
        if not package or not line.startswith("| `"):
            continue
        names, _, *columns = [cell.strip() for cell in line.strip("|").split("|")]
        row = {f"{package}.{name}" for name in re.findall(r"`(\w+)`", names)}
        first.setdefault(package, row)
        allowed = {"*"} if "all of these" in columns else set()
        for owner, column in zip((package, "tfds_builder"), columns, strict=False):
            allowed |= {f"{owner}.{name}" for name in re.findall(r"`(\w+)`", column)}
        rooms |= dict.fromkeys(row, allowed | row)
    for room, allowed in rooms.items():
        allowed |= set().union(*first.values()) if room.startswith("exporters.") else first["tfds_builder"]
    return rooms


ROOMS = drawn()


def test_every_room_is_drawn():
    """The tables have every room there is, and none that there is not."""
    there = {room_of(name) for name in TREES if "." in name}
    assert there == set(ROOMS)


@pytest.mark.parametrize("module", sorted(name for name in TREES if "." in name))
def test_imports_are_those_drawn(module):
    """A module imports what the table allows its room, and nothing from a package's own `__init__`."""
    allowed = ROOMS[room_of(module)]
    for found in imports_of(module):
        if found.split(".")[0] not in PACKAGES or "*" in allowed:
            continue
        assert room_of(found) == room_of(module) or room_of(found) in allowed, f"{module} imports {found}"


def open_circle(graph):
    """Names that import each other by way of others; empty if there are none. It uses the graph up."""
    while graph:
        free = {name for name, others in graph.items() if not others & graph.keys()}
        if not free:
            return sorted(graph)
        graph = {name: others for name, others in graph.items() if name not in free}
    return []


def test_no_circles():
    """No module imports itself by way of others; nor does a room, nor a script of the benchmarks."""
    for unit in (lambda name: name, room_of):
        graph = {}
        for name in TREES:
            if "." in name:
                found = {unit(other) for other in imports_of(name) if other in TREES and "." in other}
                graph.setdefault(unit(name), set()).update(found - {unit(name)})
        assert open_circle(graph) == []
    root = ROOT / "benchmarks"
    scripts = {".".join(path.relative_to(root).with_suffix("").parts): path.read_text() for path in root.rglob("*.py")}
    imported = {name: set(re.findall(r"^\s*(?:from|import) ([\w.]+)", text, re.MULTILINE)) for name, text in scripts.items()}
    assert len(scripts) > 10
    assert open_circle({name: {other for other in found if other in scripts} - {name} for name, found in imported.items()}) == []


FAR = {
    "exporters.engines": {"exporters.formats", "exporters.jobs", "exporters.plans"},
    "exporters.formats": {"exporters.engines", "exporters.jobs", "exporters.loaders", "exporters.plans", "exporters.staging"},
}
"""Rooms that a room does not load by way of others either."""


def rooms_within(room):
    """The rooms that are loaded with one, itself among them."""
    found, waiting = set(), [room]
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            own = [name for name in TREES if "." in name and room_of(name) == here]
            assert own, f"there is no {here}"
            waiting += {
                room_of(other) for name in own for other in imports_of(name, types=False) if other in TREES and "." in other
            }
    return found


def test_what_is_far_apart():
    """A format comes without an engine, and the consumer without the producer, by whatever way."""
    for room, others in FAR.items():
        assert others <= ROOMS.keys()
        assert not rooms_within(room) & others, room
    for room in (room for room in ROOMS if room.startswith("tfds_builder.")):
        assert not [name for name in rooms_within(room) if name.startswith("exporters")], room


@pytest.mark.parametrize("package", ALONE)
def test_who_knows_a_package(package):
    """Only these modules import it."""
    assert set(ALONE[package]) <= TREES.keys()
    found = [name for name in TREES if any(other.split(".")[0] == package for other in imports_of(name, types=False))]
    assert sorted(found) == ALONE[package]


def strings_of(tree):
    """Every string of a module but its docstrings."""
    bodies = [node.body for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list)]
    told = {id(line.value) for body in bodies for line in body if isinstance(line, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def asks_for_an_index(tree):
    """Whether a module compares `something.index` with None."""
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot)]
    return any(isinstance(node.left, ast.Attribute) and node.left.attr == "index" for node in tests)


def test_who_asks_which_format_it_is():
    """Only the rooms `formats`: whoever needs to know something of a format asks its object."""
    outside = {name: tree for name, tree in TREES.items() if ".formats" not in name}
    naming = {name for name, tree in outside.items() if any(re.search("|".join(NAMES), text) for text in strings_of(tree))}
    assert naming == NAME_FORMATS
    consumer = {name: tree for name, tree in outside.items() if name.startswith("tfds_builder")}
    assert {name for name, tree in consumer.items() if asks_for_an_index(tree)} == ASK_FOR_AN_INDEX


def opens_files(tree):
    """Where a module opens a file, looks at it or writes it by other means than a Directory, or joins a path, as lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            module, _, name = ast.unparse(node.func).rpartition(".")
            if name in OF_FILES.get(module, ()) or (module and name in OF_PATHS):
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module in OF_FILES:
            if {alias.name for alias in node.names} & OF_FILES[node.module]:
                yield node.lineno
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and any(map(NAME.search, sides_of(node))):
            yield node.lineno


def sides_of(node):
    """What stands on both sides of an operator, as text."""
    return ast.unparse(node.left), ast.unparse(node.right)


def test_who_opens_files():
    """In the consumer a Directory opens and joins, and nothing else does: another store is another Directory."""
    found = {name: list(opens_files(tree)) for name, tree in TREES.items() if name.startswith("tfds_builder.")}
    assert {name: lines for name, lines in found.items() if lines and name not in OPEN_FILES} == {}
    assert all(found[name] for name in OPEN_FILES)


PRIVATE = {
    "_encoding", "_encoding_format", "_optional", "_length", "_class_label", "_str2int", "_int2str", "_num_classes",
    "_lazy_decode", "_file_format", "_encoded_to_bytes", "_dynamic_shape", "_serialized_shape", "_shape", "_dtype",
    "_feature", "_feature_dict", "_registered_features",
}  # fmt: skip
"""Attributes of TFDS's features that are its own; `self._length` of a class of ours is another one."""
KINDS = "tfds_builder.features.kinds"


def private_of_tfds(tree):
    """Where a module reads a private attribute of TFDS's features, as lines and names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE and getattr(node.value, "id", "") != "self":
            yield node.lineno, node.attr
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            name = getattr(node.args[1], "value", None)
            if name in PRIVATE:
                yield node.lineno, name


def type_tests(tree):
    """Where a module asks whether a feature is of a class of `tfds.features`, as lines."""

    def names_class(node):
        found = (ast.unparse(item) for item in ast.walk(node) if isinstance(item, ast.Attribute))
        return any(re.fullmatch(r"(tfds\.features|_?F)\.(?!TensorInfo$|Encoding)[A-Z]\w+", name) for name in found)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            if names_class(node.args[1]):
                yield node.lineno
        elif isinstance(node, ast.Compare) and any(map(names_class, node.comparators)):
            yield node.lineno


def test_one_module_knows_kinds_of_features():
    """Only `kinds` reads what is private to TFDS's features, and asks which class of `tfds.features` one is of."""
    assert list(private_of_tfds(TREES[KINDS]))
    for name, tree in TREES.items():
        if name != KINDS:
            assert list(private_of_tfds(tree)) == [], name
            assert list(type_tests(tree)) == [], name


def test_type_tests_are_found():
    """What the test above looks for, in each of its spellings."""
    asked = (
        "isinstance(x, tfds.features.Image)", "isinstance(x, _F.Text | _F.Image)", "type(x) is F.Tensor", "type(x) in (_F.Text,)",
        "type(x).encode_example is not tfds.features.Image.encode_example",
    )  # fmt: skip
    assert all(list(type_tests(ast.parse(text))) for text in asked)
    others = ("isinstance(x, tfds.features.TensorInfo)", "x == tfds.features.Encoding.BYTES", "type(one) is type(other)")
    assert not any(list(type_tests(ast.parse(text))) for text in others)
    assert list(private_of_tfds(ast.parse("x._length"))) == [(1, "_length")]
    assert list(private_of_tfds(ast.parse("getattr(x, '_optional', False)"))) == [(1, "_optional")]
    assert not list(private_of_tfds(ast.parse("self._length")))


def test_sizes():
    """No module is longer than can be read at once, and no room has more of them than can be remembered."""
    rooms = {}
    for name, root in PACKAGES.items():
        for path in root.rglob("*.py"):
            assert len(path.read_text("utf-8").splitlines()) <= LINES, path
            if path.parent != root and path.stem != "__init__":
                rooms.setdefault(f"{name}.{path.parent.name}", []).append(path.stem)
    assert {room: sorted(names) for room, names in rooms.items() if len(names) > MODULES} == {}


AS_A_WHOLE = {
    "exporters.aliases": "names of types, for type checkers",
    "tfds_builder.aliases": "names of types, for type checkers",
    "exporters.demo": "a process: test_cli",
    "exporters.version": "one line: test_cli",
    "exporters.draws.apart": "what processes of an engine draw: test_processes",
    "exporters.engines.base": "what an engine is, for type checkers",
    "exporters.engines.sent": "a task elsewhere: test_processes, test_ray, test_beam",
    "exporters.engines.failures": "what they raise: test_processes",
    "exporters.jobs.crew": "who writes a split: test_processes",
    "exporters.hazards.base": "what a hazard is; each one: test_hazards",
    "exporters.hazards.before": "each has loaders that have it and near-misses: test_hazards",
    "exporters.hazards.counts": "as those of before",
    "exporters.hazards.repeats": "as those of before",
    "exporters.command.picture": "what preview draws: test_preview",
    "exporters.features.together": "decisions, and names that collide: schema/test_schema",
    "exporters.integers.formulas": "orders of computing: integers/test_finding, test_grid",
    "exporters.integers.values": "the values of a first batch: integers/test_finding",
    "exporters.jobs.assembly": "a part of one export: test_export",
    "exporters.jobs.job": "one export: test_export, test_resume",
    "exporters.jobs.opening": "first batches: loaders/test_lookahead",
    "exporters.jobs.settled": "a part of one export: test_export, formats/test_hdf5",
    "exporters.plans.ledger": "what is finished: test_resume, staging/test_notes",
    "tfds_builder.pages.collectors": "one page: test_statistics",
    "tfds_builder.pages.figures": "one page: test_statistics",
    "tfds_builder.pages.sources": "one page: test_statistics",
    "tfds_builder.site.page": "one site: test_build",
    "tfds_builder.site.render": "one site: test_build",
    "tfds_builder.cards.snippets": "one site: test_build",
    "tfds_builder.site.place": "one site: test_build",
    "tfds_builder.table.ragged_columns": "a way of reading tables: test_table, test_checked_rows",
}
"""Modules without a file of tests of their own, and where they are tried."""


def file_of_tests(module):
    """Where the tests of a module are: the folder of its room, the file of its name."""
    package, *room, name = module.split(".")
    return ROOT.joinpath("tests", package, *room, f"test_{name}.py")


def test_tests_mirror_the_rooms():
    """Every module has tests in a file of its name, in the folder of its room; or is listed above as one that has none."""
    files = [path.relative_to(PACKAGES[name].parent) for name, root in PACKAGES.items() for path in root.rglob("*.py")]
    modules = [".".join(path.with_suffix("").parts) for path in files if not path.stem.startswith("__")]
    assert {module for module in modules if not file_of_tests(module).is_file()} == AS_A_WHOLE.keys()
    folders = {path.parent for name in PACKAGES for path in (ROOT / "tests" / name).rglob("test_*.py")}
    rooms = {ROOT.joinpath("tests", *room.split(".")) for room in ROOMS} | {ROOT / "tests" / name for name in PACKAGES}
    assert folders <= rooms
