"""Memory: reading a split that is larger than what the process may have, and what an export needs above its loader."""

from __future__ import annotations

import importlib
import pathlib
import re
import resource
import shutil
from typing import Any

from tables import Sheet
from workloads import BATCH

from studies.common import (
    FORMATS,
    IMAGES,
    Setting,
    by_rows,
    data_files,
    export,
    export_tiny,
    in_child,
    load,
    memory,
    pool_loader,
    warm_up,
)  # fmt: skip

_HEADROOM = 512 * 1024 * 1024
"""Bytes a reader may take beyond what it has after importing TensorFlow."""
_LIMITS = {"address space": resource.RLIMIT_AS, "private memory": resource.RLIMIT_DATA}
_ORDERS = ("in order", "shuffled by blocks", "shuffled by rows")


def run(setting: Setting) -> list[Sheet]:
    return [_reading(setting), _exporting(setting)]


def _reading(setting: Setting) -> Sheet:
    workload = IMAGES.with_rows(15_000 if not setting.small else 5_000)
    export_tiny(setting.out)
    rows = []
    for format in FORMATS:
        path = pathlib.Path(export(pool_loader(workload), setting.out, f"large_{format}", format).path)
        size = sum(file.stat().st_size for file in data_files(path)) / 1e6
        for limit in _LIMITS:
            for order in _ORDERS:
                found = in_child(_read_limited, path, order, limit, workload.rows)
                cells = found if isinstance(found, list) else [found, *[""] * 5]
                rows.append([format, limit, order, size, *cells])
        shutil.rmtree(path.parent)
    moments = ("RssAnon before MB", "at 1/4", "at 1/2", "at the end", "VmHWM at the end MB")
    columns = ("format", "limit on", "order", "split MB", "outcome", *moments)
    title = "Reading a split larger than the memory the process may have"
    note = (
        f"The limit is what the process has after importing TensorFlow and reading a small dataset, plus {_HEADROOM >> 20} "
        "MiB: of address space (RLIMIT_AS, which counts every mapped file) or of private memory (RLIMIT_DATA). RssAnon has "
        "the batches under way in it, of 38 MB each, and must not grow with the split; VmHWM has pages of mapped files in it, "
        "which the kernel takes back when it needs them."
    )
    return Sheet(title, columns, rows, note)


def _read_limited(path: pathlib.Path, order: str, limit: str, rows: int) -> list[Any]:
    """Outcome, then RssAnon before and at three moments, and VmHWM, MB; runs in a process of its own."""
    warm_up(path.parent.parent)
    now = memory("VmSize" if limit == "address space" else "VmData") * 1e6
    resource.setrlimit(_LIMITS[limit], (int(now) + _HEADROOM,) * 2)
    options = {"shuffled by blocks": {"shuffle_files": True}, "shuffled by rows": by_rows()}.get(order, {})
    samples, seen, marks = [memory("RssAnon")], 0, [rows // 4, rows // 2, rows]
    try:
        for batch in load(path, batch_size=BATCH, **options):
            batch["image"].numpy().reshape(-1)[::4096].sum()
            seen += len(batch["label"])
            if marks and seen >= marks[0]:
                samples.append(memory("RssAnon"))
                marks.pop(0)
    except Exception as error:  # what a limit breaks, and how, is the finding
        reason = re.search(r"\w+Error: [^\n]*", str(error))
        return [f"{reason.group() if reason else type(error).__name__:.80} after {seen:,} of {rows:,} examples", *[""] * 5]
    return ["read to the end", *samples, memory("VmHWM")]


def _exporting(setting: Setting) -> Sheet:
    sizes, rows = ((100, 400) if setting.small else (1_000, 10_000)), []
    if shutil.disk_usage(setting.out).free < 1.5e6 * sizes[-1]:
        sizes = sizes[:1]
    for megabytes in sizes:
        count = int(megabytes * 1e6) // IMAGES.row_bytes
        bare, imported = in_child(_drain, count, False), in_child(_drain, count, True)
        rows += [
            ["bare loop", megabytes, bare, 0.0, ""],
            ["bare loop and our imports", megabytes, imported, imported - bare, 0.0],
        ]
        for format in FORMATS:
            peak = in_child(_export, setting.out, count, format)
            rows.append([format, megabytes, peak, peak - bare, peak - imported])
    title = "Peak memory of an export"
    note = "VmHWM of a process that did nothing else. The loader keeps 64 MiB of images and makes every batch of them."
    columns = ("export", "dataset MB", "peak MB", "above the bare loop MB", "above our imports MB")
    return Sheet(title, columns, rows, note)


def _drain(rows: int, imports: bool) -> float:
    if imports:
        for module in ("exporters.jobs.job", *(f"exporters.formats.{format}" for format in FORMATS)):
            importlib.import_module(module)
    for _ in pool_loader(IMAGES.with_rows(rows)):
        pass
    return memory("VmHWM")


def _export(out: pathlib.Path, rows: int, format: str) -> float:
    result = export(pool_loader(IMAGES.with_rows(rows)), out, f"peak_{format}", format)
    peak = memory("VmHWM")
    shutil.rmtree(result.path)
    return peak
