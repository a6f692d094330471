"""`engine="ray"` on a cluster of several nodes on this machine: the bytes of one process, whatever dies. See `tox -e ray`."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import engines_kit
import kills_kit
import pytest
import torch
from engines_kit import ALONE, PNG, Rows, drawn, fixed, notes_of, parts_of, picture, text, told
from torch.utils.data import DataLoader, get_worker_info

import exporters
from tfds_builder.table.table import Table

ray = pytest.importorskip("ray", reason="tox -e ray has it")
cloudpickle = pytest.importorskip("cloudpickle")
from ray.cluster_utils import Cluster  # noqa: E402

pytestmark = [
    pytest.mark.once,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::exporters.HazardWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets that Ray leaves open
]
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
for module in (sys.modules[__name__], engines_kit):
    cloudpickle.register_pickle_by_value(module)  # Ray's processes cannot import it


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, and two nodes of one each."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80_000_000})
    made.nodes_added = [made.add_node(num_cpus=1, object_store_memory=80_000_000) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    made.shutdown()


KINDS = {"fixed": (fixed, None), "text": (text, None), "png": (picture, PNG)}


def loaders(make, seconds=0.0):
    train = DataLoader(Rows(make, 200, seconds), 4, shuffle=True, generator=torch.Generator().manual_seed(2))
    return {"train": train, "test": DataLoader(Rows(make, 9), 4)}


def export(loaders, data_dir, **options):
    return exporters.export(loaders, data_dir, **{"name": "ds", "progress": False, "shard_bytes": 900, **options})


def on(cluster, **options):
    return {"engine": "ray", "engine_options": {"address": cluster.address, **options}}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes(kind, format, cluster, tmp_path, tree):
    """Every file has the bytes that one process writes, and the same hazards are told; Ray is as it was afterwards."""
    make, features = KINDS[kind]
    whole = export(loaders(make), tmp_path / "local", format=format, features=features)
    shared = export(loaders(make), tmp_path / "ray", format=format, features=features, **on(cluster))
    assert tree(shared.path) == tree(whole.path)
    assert told(shared) == told(whole)
    assert not ray.is_initialized()


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("make", [text, drawn])
def test_a_stream_in_parts(cluster, make, tmp_path, tree):
    """Each part is read wherever it is done, and has what that worker of the loader would give, drawn numbers included."""
    alone = export(parts_of(make), tmp_path / "alone", **ALONE)
    shared = export(parts_of(make), tmp_path / "shared", **on(cluster))
    assert tree(shared.path) == tree(alone.path)
    assert told(shared) == told(alone)


class Killed(Rows):
    """The process that is asked for one row first is killed, once."""

    def __init__(self, mark):
        super().__init__(text, 200)
        self.mark = mark

    def __getitem__(self, index):
        if index == 77 and get_worker_info() is not None and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_process_is_killed(cluster, tmp_path, tree):
    """Ray does its task again, in another process, and nothing is lost or doubled."""
    loader = lambda dataset: DataLoader(dataset, 4)  # noqa: E731
    result = export(loader(Killed(tmp_path / "mark")), tmp_path / "ray", shard_bytes=200, **on(cluster))
    assert (tmp_path / "mark").exists()
    assert tree(result.path) == tree(export(loader(Rows(text, 200)), tmp_path / "local", shard_bytes=200).path)


def test_a_node_is_killed(cluster, tmp_path, tree):
    """A whole node goes in mid-export: its tasks are done on another one, and nothing is lost or doubled."""
    node = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
    cluster.wait_for_nodes()

    def kill():
        while len(notes_of(tmp_path / "ray")) < 4:
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    result = export(loaders(text, 0.01), tmp_path / "ray", shard_bytes=100, **on(cluster))
    killer.join()
    assert tree(result.path) == tree(export(loaders(text), tmp_path / "local", shard_bytes=100).path)


def raise_error():
    raise ValueError("of the dataset")


class Broken(Rows):
    def __getitem__(self, index):
        return raise_error() if index == 150 else super().__getitem__(index)


def test_an_error(cluster, tmp_path):
    """What one process raises is raised here, and finished shards are kept."""
    with pytest.raises(ValueError, match="of the dataset") as caught:
        export(DataLoader(Broken(text, 200), 4), tmp_path, shard_bytes=100, **on(cluster))
    assert "in raise_error" in str(caught.value.__cause__)
    assert notes_of(tmp_path)
    assert not (tmp_path / "ds/1.0.0").exists()


class Whose(Rows):
    def __getitem__(self, index):
        info = get_worker_info()  # None where the first batch is looked at, which is this process
        return {"process": os.getpid(), "id": info.id if info else -1, "count": info.num_workers if info else -1}


def test_a_process_is_a_worker(cluster, tmp_path):
    """No two processes are the same worker to the dataset, and none is the one that runs `export`."""
    export(DataLoader(Whose(None, 60), 4), tmp_path, shard_bytes=200, on_hazard="ignore", **on(cluster))
    rows = Table.of_split(tmp_path / "ds/1.0.0", "train").read(slice(None))
    pairs = set(zip(rows["process"].tolist(), rows["id"].tolist(), strict=True))
    assert len(pairs) == len({process for process, _ in pairs}) == len({number for _, number in pairs})
    assert os.getpid() not in rows["process"]
    assert (rows["id"] < rows["count"]).all()


DRIVER = """
    import sys, exporters, test_ray
    if __name__ == "__main__":
        options = {"address": sys.argv[2]}
        loaders = test_ray.loaders(test_ray.text, 0.02)
        test_ray.export(loaders, sys.argv[1], shard_bytes=100, on_hazard="ignore", engine="ray", engine_options=options)
"""


def test_the_driver_is_killed(cluster, tmp_path, tree):
    """After SIGKILL the same line goes on: what is finished is not written again, and the bytes are those of one go."""
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(DRIVER))
    paths = [*map(str, pathlib.Path(__file__).parents[:2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(script), str(tmp_path / "data"), cluster.address]
    with open(tmp_path / "said", "w") as said:
        driver = subprocess.Popen(command, env=environment, stderr=said, stdout=said)
    while len(notes_of(tmp_path / "data")) < 4:
        assert driver.poll() is None, (tmp_path / "said").read_text()
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    kept = {path.name: json.loads(path.read_bytes()) for path in notes_of(tmp_path / "data")}
    assert len(kept) < 50
    result = export(loaders(text), tmp_path / "data", shard_bytes=100, on_hazard="ignore", **on(cluster))
    assert tree(result.path) == tree(export(loaders(text), tmp_path / "whole", shard_bytes=100, on_hazard="ignore").path)


@pytest.mark.parametrize("amount", kills_kit.AMOUNTS)
def test_whatever_is_killed(amount, cluster, tmp_path, pytestconfig, endurance):
    """Whichever process of `export` or of Ray's is killed, or node, whenever: Ray repeats its tasks, or they are run again, until
    it is published; nothing is lost, doubled or left, and every file has the bytes of an export by one process."""

    def kill_a_node(run, dice):
        if run.is_over():
            return False
        node = dice.choice(cluster.nodes_added)
        kills_kit.kill(raylet := node.all_processes["raylet"][0].process.pid, kills_kit.life_of(raylet)[0])
        cluster.remove_node(node, allow_graceful=False)
        cluster.nodes_added.remove(node)
        cluster.nodes_added.append(cluster.add_node(num_cpus=1, object_store_memory=80_000_000))
        return True

    way = kills_kit.Way.of_engine("ray", {"address": cluster.address}, ["ray", "cloudpickle"], node=kill_a_node)
    kills_kit.run_campaign(way, amount, pytestconfig, tmp_path, endurance)


@pytest.mark.parametrize(("options", "words"), [
    ({"num_cpus": 0}, r'engine_options=\{"num_cpus": 2\}: a positive number \(got 0\)'),
    ({"workers": 2}, "'workers' is no option of engine=\"ray\", which has address, num_cpus, resources, max_retries, in_flight"),
])  # fmt: skip
def test_options_that_make_no_sense(options, words, tmp_path):
    """They are refused before anything is made."""
    with pytest.raises(exporters.ArgumentError, match=words):
        export(DataLoader(Rows(text, 200), 4), tmp_path / "data", engine="ray", engine_options=options)
    assert not (tmp_path / "data").exists()
