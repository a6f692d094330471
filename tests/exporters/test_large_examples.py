"""Examples of hundreds of megabytes: writing one takes a few times its size, however many there are."""

import pytest

SOURCE = """
    import resource, sys
    import numpy as np, tensorflow_datasets as tfds, torch
    import exporters
    from torch.utils.data import DataLoader, Dataset

    kind, format, size = sys.argv[1], sys.argv[2], 96 * 2**20

    class Data(Dataset):
        def __len__(self): return 4
        def __getitem__(self, i):
            if kind == "bytes": return bytes([i + 1]) * size
            return torch.full((size // 4 + (i if kind == "ragged" else 0),), float(i + 2))

    def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    options = {"name": "ds", "format": format, "progress": False, "on_hazard": "warn", "shard_bytes": 2**20}
    small = DataLoader([{"x": torch.arange(40.0) + i} for i in range(3)], batch_size=2)
    exporters.export(small, "warm", **options)
    if kind == "ragged":
        options["features"] = {"x": tfds.features.Tensor(shape=(None,), dtype=np.float32, encoding="bytes")}
    own = None if kind == "fixed" else lambda rows: {"x": rows}
    before = peak()
    result = exporters.export(DataLoader(Data(), batch_size=1, collate_fn=own), "data", **options)
    print((peak() - before) / size)
"""


@pytest.mark.parametrize("kind", ["fixed", "ragged", "bytes"])
def test_writing_takes_three_times_an_example(kind, format, run_python):
    """At most three times its size, what the loader itself holds included, with every hazard looked for."""
    assert float(run_python(SOURCE, kind, format).stdout.split()[-1]) < 3.3
