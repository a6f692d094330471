"""The process that `outside.py` talks to; runs where MosaicML Streaming and litdata are installed, and we are not.

    python outside_writers.py WORKLOAD_JSON NAME...

Every line it reads is a JSON [name, directory]; every line it prints says what writing there took.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from typing import Any

import torch
from workloads import BATCH, SHARD_BYTES, Workload, iterate_examples, make_loader


def write_mds(workload: Workload, loader: Any, out: str) -> int:
    # A torchvision without its operators, as beside a CPU build of torch, does not import unless these are declared.
    with contextlib.suppress(RuntimeError):
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from streaming import MDSWriter

    shape, rows = ",".join(map(str, workload.stored_shape)), 0
    columns = {workload.feature: f"ndarray:{workload.dtype}:{shape}", "label": "int"}
    with MDSWriter(out=out, columns=columns, size_limit=SHARD_BYTES) as writer:
        for value, label in iterate_examples(workload, loader):
            writer.write({workload.feature: value, "label": label})
            rows += 1
    return rows


def write_litdata(workload: Workload, loader: Any, out: str) -> int:
    from litdata.streaming.writer import BinaryWriter

    writer, rows = BinaryWriter(out, chunk_bytes=SHARD_BYTES), 0
    for value, label in iterate_examples(workload, loader):
        writer[rows] = {workload.feature: value, "label": label}
        rows += 1
    writer.done()
    writer.merge(1)
    return rows


WRITERS = {"MosaicML MDSWriter": write_mds, "litdata BinaryWriter": write_litdata}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    content = json.loads(sys.argv[1])
    workload = Workload(**content | {"shape": tuple(content["shape"])})
    tiny, loader = workload.with_rows(2 * BATCH), make_loader(workload)
    for name in sys.argv[2:]:  # imports, and whatever else is done once
        with tempfile.TemporaryDirectory() as out:
            WRITERS[name](tiny, make_loader(tiny), out)
    for line in sys.stdin:
        name, out = json.loads(line)
        start, processor = time.perf_counter(), time.process_time()
        rows = WRITERS[name](workload, loader, out)
        took = {"rows": rows, "seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
        print(json.dumps(took), file=answers, flush=True)


if __name__ == "__main__":
    main()
