"""`engine="beam"`, on Beam's own runner in processes of this machine: the bytes of one process; errors, kills. `tox -e beam`."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import engines_kit
import kills_kit
import pytest
import torch
from engines_kit import ALONE, PNG, Rows, drawn, fixed, notes_of, parts_of, picture, text, told
from torch.utils.data import DataLoader, get_worker_info

import exporters
from tfds_builder.table.table import Table

pytest.importorskip("apache_beam", reason="tox -e beam has it")
cloudpickle = pytest.importorskip("cloudpickle")

pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::exporters.HazardWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets that Beam leaves open
]
for module in (sys.modules[__name__], engines_kit):
    cloudpickle.register_pickle_by_value(module)  # Beam's processes cannot import it

BEAM = {"engine": "beam", "engine_options": {"direct_num_workers": 2}}


KINDS = {"fixed": (fixed, None, "hdf5"), "text": (text, None, "tfrecord"), "png": (picture, PNG, "tfrecord")}


def loader(make, seconds=0.0):
    return DataLoader(Rows(make, 80, seconds), 4, shuffle=True, generator=torch.Generator().manual_seed(2))


def export(loaders, data_dir, **options):
    return exporters.export(loaders, data_dir, **{"name": "ds", "progress": False, "shard_bytes": 200, **options})


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes(kind, tmp_path, tree):
    """Every file has the bytes that one process writes, and the same hazards are told; nothing is left behind."""
    make, features, format = KINDS[kind]
    whole = export(loader(make), tmp_path / "local", format=format, features=features)
    shared = export(loader(make), tmp_path / "beam", format=format, features=features, **BEAM)
    assert whole.shards["train"] > 3
    assert tree(tmp_path / "beam") == tree(tmp_path / "local")
    assert told(shared) == told(whole)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("make", [text, drawn])
def test_a_stream_in_parts(make, tmp_path, tree):
    """Each part is read wherever it is done, and has what that worker of the loader would give, drawn numbers included."""
    alone = export(parts_of(make), tmp_path / "alone", **ALONE)
    shared = export(parts_of(make), tmp_path / "shared", **BEAM)
    assert tree(shared.path) == tree(alone.path)
    assert told(shared) == told(alone)


class Broken(Rows):
    """Goes wrong at a row as long as a file is there."""

    def __init__(self, mark, kills):
        super().__init__(text, 80)
        self.mark, self.kills = mark, kills

    def __getitem__(self, index):
        if index == 60 and self.mark.exists():
            if self.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("of the dataset")
        return super().__getitem__(index)


def test_a_bundle_that_fails_once(tmp_path, tree):
    """What one process raises is raised here, and finished shards are kept; the next run goes on to the same bytes."""
    mark = tmp_path / "mark"
    mark.touch()
    with pytest.raises(ValueError, match="of the dataset") as caught:
        export(DataLoader(Broken(mark, False), 4), tmp_path / "data", on_hazard="ignore", **BEAM)
    assert "__getitem__" in str(caught.value.__cause__)
    assert notes_of(tmp_path / "data")
    mark.unlink()
    result = export(DataLoader(Broken(mark, False), 4), tmp_path / "data", on_hazard="ignore", **BEAM)
    assert tree(result.path) == tree(export(DataLoader(Rows(text, 80), 4), tmp_path / "whole", on_hazard="ignore").path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # by which Beam tells it, and goes on waiting
def test_a_process_is_killed(tmp_path, tree):
    """The export does not wait for one that is dead: an error says what to do, what the others do is kept, and the next run goes
    on to the same bytes."""
    mark = tmp_path / "mark"
    mark.touch()
    with pytest.raises(exporters.EngineError, match=r'was killed .*"direct_num_workers": 1.* to go on after what is finished'):
        export(DataLoader(Broken(mark, True), 4), tmp_path / "data", on_hazard="ignore", **BEAM)
    kept = notes_of(tmp_path / "data")
    assert kept
    mark.unlink()
    result = export(DataLoader(Broken(mark, True), 4), tmp_path / "data", on_hazard="ignore", **BEAM)
    assert tree(result.path) == tree(export(DataLoader(Rows(text, 80), 4), tmp_path / "whole", on_hazard="ignore").path)


class Whose(Rows):
    def __getitem__(self, index):
        info = get_worker_info()  # None where the first batch is looked at, which is this process
        return {"process": os.getpid(), "id": info.id if info else -1, "count": info.num_workers if info else -1}


def test_a_process_is_a_worker(tmp_path):
    """No two processes are the same worker to the dataset, and none is the one that runs `export`."""
    export(DataLoader(Whose(None, 60), 4), tmp_path, on_hazard="ignore", **BEAM)
    rows = Table.of_split(tmp_path / "ds/1.0.0", "train").read(slice(None))
    pairs = set(zip(rows["process"].tolist(), rows["id"].tolist(), strict=True))
    assert len(pairs) == len({process for process, _ in pairs}) == len({number for _, number in pairs})
    assert os.getpid() not in rows["process"]


def test_tasks_in_this_process(tmp_path):
    """A runner that does tasks in the process of `export` is refused, with the option that mends it; nothing is written."""
    options = {"engine": "beam", "engine_options": {"direct_running_mode": "in_memory"}}
    with pytest.raises(exporters.EngineError, match=r"process of export.*direct_running_mode.*multi_processing"):
        export(DataLoader(Rows(text, 80), 4), tmp_path / "data", **options)
    assert not (tmp_path / "data").exists()


DRIVER = """
    import sys, test_beam
    if __name__ == "__main__":
        test_beam.export(test_beam.loader(test_beam.text, 0.1), sys.argv[1], on_hazard="ignore", **test_beam.BEAM)
"""


def test_the_driver_is_killed(tmp_path, tree):
    """After SIGKILL the same line goes on: what is finished is not written again, and the bytes are those of one go."""
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(DRIVER))
    paths = [*map(str, pathlib.Path(__file__).parents[:2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(script), str(tmp_path / "data")]
    with open(tmp_path / "said", "w") as said:
        driver = subprocess.Popen(command, env=environment, stderr=said, stdout=said)
    while len(notes_of(tmp_path / "data")) < 2:
        assert driver.poll() is None, (tmp_path / "said").read_text()
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    kept = {path.name: json.loads(path.read_bytes()) for path in notes_of(tmp_path / "data")}
    assert 2 <= len(kept) < 20
    result = export(loader(text), tmp_path / "data", on_hazard="ignore")
    assert tree(result.path) == tree(export(loader(text), tmp_path / "whole", on_hazard="ignore").path)
    assert result.examples == {"train": 80}


@pytest.mark.parametrize("amount", kills_kit.AMOUNTS)
def test_whatever_is_killed(amount, tmp_path, pytestconfig, endurance):
    """Whichever process of `export` or of Beam's is killed, whenever: run again until it is published, nothing is lost, doubled
    or left, and every file has the bytes of an export by one process."""
    way = kills_kit.Way.of_engine("beam", BEAM["engine_options"], ["apache_beam", "cloudpickle"], splits=["train"])
    kills_kit.run_campaign(way, amount, pytestconfig, tmp_path, endurance)
