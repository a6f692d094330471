"""What was measured, as Markdown, as JSON, and back from JSON.

python benchmarks/report.py RESULTS.json...                       # prints the tables of saved results again
python benchmarks/report.py RESULTS.json... --into DOCUMENT.md    # between its two marks
python benchmarks/report.py RESULTS.json... --picture BARS.svg    # draws them
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tables import Sheet, Table

_SHOWN = (
    "torch2tfds", "torch", "tensorflow", "tensorflow-cpu", "tensorflow-datasets", "numpy", "h5py", "google-crc32c",
    "array_record", "datasets", "webdataset", "pillow",
)  # fmt: skip

MARKS = ("<!-- tables of benchmarks/report.py -->", "<!-- end of tables -->")
"""Lines of a document between which the tables go."""


def environment(others: Mapping[str, str], left_out: Mapping[str, str]) -> dict[str, Any]:
    """Versions and machine, for the header.

    Args:
      others: versions of peers that are installed elsewhere.
      left_out: contestants that cannot take part -> why.
    """
    versions = {}
    for name in _SHOWN:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {**versions, **others},
        "left_out": dict(left_out),
    }


def header(content: Mapping[str, Any]) -> str:
    """One paragraph that says where and how, for the content of a file of results."""
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    left_out = "".join(f" Left out: {name} ({reason})." for name, reason in content["left_out"].items())
    small = " **Small: a smoke test, not a measurement.**" if content["small"] else ""
    return (
        f"{content['cores']} cores, Python {content['python']}, {content['system']}; {versions}.{left_out}{small} "
        f"Up to {content['repeat']} rounds, every contestant once a round; page cache warm unless it says cold, TFDS's "
        "autocache off. `x NAME`: times as fast as NAME, by medians / by best runs. CPU s: processor seconds of the "
        "process, the least."
    )


def to_markdown(files: Sequence[Mapping[str, Any]]) -> str:
    """All tables of files of results; a header wherever it differs from the one before."""
    parts: list[str] = []
    shown = ""
    for content in files:
        if header(content) != shown:
            shown = header(content)
            parts.append(f"{shown}\n")
        parts += [Table.from_json(table).to_markdown() for table in content["tables"]]
        parts += [Sheet(**sheet).to_markdown() for sheet in content["sheets"]]
    return "\n".join(parts)


def put_into(document: pathlib.Path, tables: str) -> None:
    """Replaces what is between the two marks of a Markdown document.

    Raises:
      ValueError: it does not have each of them once.
    """
    parts = re.split("|".join(map(re.escape, MARKS)), document.read_text())
    if len(parts) != 3:
        raise ValueError(f"{document} must have the lines {MARKS[0]} and {MARKS[1]}, once each")
    document.write_text(f"{parts[0]}{MARKS[0]}\n\n{tables}\n{MARKS[1]}{parts[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Prints saved results as Markdown, or draws them.")
    parser.add_argument("results", nargs="+", type=pathlib.Path, help="files that run.py --json wrote")
    parser.add_argument("--into", type=pathlib.Path, help=f"put the tables into this document, between {' and '.join(MARKS)}")
    parser.add_argument("--picture", type=pathlib.Path, help="draw the tables of contestants here (.svg, .png)")
    arguments = parser.parse_args()
    files = [json.loads(path.read_text()) for path in arguments.results]
    if arguments.into is not None:
        put_into(arguments.into, to_markdown(files))
    elif arguments.picture is None:
        sys.stdout.write(to_markdown(files))
    if arguments.picture is not None:
        import picture

        picture.draw([Table.from_json(table) for content in files for table in content["tables"]], arguments.picture)


if __name__ == "__main__":
    main()
