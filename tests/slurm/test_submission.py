"""What is handed to sbatch: one call per array, its script, what it waits for, and the cluster's file. No scheduler needed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from experiments.launch.slurm.arrays import arrays_of, dependency
from experiments.launch.slurm.cluster import Cluster, read_cluster
from experiments.launch.slurm.launcher import Slurm
from experiments.launch.slurm.limits import shortfalls
from experiments.launch.slurm.query import _expand
from experiments.plan.estimate import Estimate
from experiments.spec.document import SpecError
from experiments.store.folder import Store
from tests.support.processes import fakes
from yolact.errors import UserError

pytest.importorskip("submitit", reason="submitit is not installed")
GOLDEN = Path(__file__).with_name("golden_submission.sh")

# stand-ins that note what they were given; what a scheduler does with it is tested on a real one
COMMANDS = {
    "sbatch": 'n=$(ls "$CALLS" | wc -l); cp "$1" "$CALLS/$n"; echo "Submitted batch job $((70 + n))"',
    "srun": "exit 1",
    "squeue": "exit 0",
    "scancel": "exit 0",
    "sinfo": """case "$*" in
    *%R*) echo small; echo long; echo gpu;;
    *) echo "small*|2:00:00|8192+"; echo "small*|2:00:00|16384"; echo "long|3-12:30:00|4096";;
esac""",
    "scontrol": 'echo "MaxArraySize = ${MAX_ARRAY:-1001}"',
}


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The folder in which each call of sbatch leaves its script, numbered."""
    commands, noted = tmp_path / "bin", tmp_path / "calls"
    commands.mkdir(), noted.mkdir()
    for name, line in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(noted))
    return noted


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "my results")


def submit(store, plan, **cluster):
    return Slurm(Cluster.from_data(cluster), fakes.KINDS, "fakes:KINDS").run(plan, set(plan.stages), store, lambda event: None)


def scripts(calls):
    return [path.read_text() for path in sorted(calls.iterdir(), key=lambda path: int(path.name))]


def option(script, name):
    found = re.search(rf"^#SBATCH --{name}=(.*)$", script, re.MULTILINE)
    return found[1] if found else None


def test_the_batch_script_is_the_golden_one(calls, store):
    cluster = {"partition": "gpu", "account": "vision", "cpus": 4, "memory": 1.5, "time": 90, "constraint": "a100|h100",
               "max_parallel": 3, "save_seconds": 60, "setup": ["module load cuda"]}  # fmt: skip
    submit(store, fakes.chains(5), **cluster)
    text = scripts(calls)[1]
    root = re.escape(str(store.root))
    text = re.sub(root + r"/slurm/\w+-double-[0-9a-f]+", "RESULTS/slurm/ARRAY", text.replace(sys.executable, "PYTHON"))
    text = re.sub(root + r"/code/snapshot-[0-9a-f]{16}", "RESULTS/code/SNAPSHOT", text)
    assert text == GOLDEN.read_text()


def test_one_call_per_array_however_many_stages(calls, store):
    outcome = submit(store, fakes.chains(100))
    assert len(scripts(calls)) == 2
    assert set(outcome.states.values()) == {"submitted"} and outcome.exit_status == 0
    assert [option(script, "array") for script in scripts(calls)] == ["0-99%16", "0-99%16"]


def test_arrays_longer_than_the_cluster_allows_are_split_alike(calls, store, monkeypatch):
    monkeypatch.setenv("MAX_ARRAY", "3")
    submit(store, fakes.chains(4))
    assert [option(script, "dependency") for script in scripts(calls)] == [None, None, "aftercorr:70", "aftercorr:71"]


def test_stages_that_measure_time_get_their_node_alone(calls, store):
    submit(store, fakes.plan_of(fakes.stage("clock"), fakes.stage("count", steps=1)))
    assert sorted("#SBATCH --exclusive" in script for script in scripts(calls)) == [False, True]


def test_resources_per_kind_and_device(calls, store):
    plan = fakes.chains(1)
    for stage in plan.stages.values():
        stage.content["device"] = "cuda"
    submit(store, plan, gpus=2, time=10, kinds={"double": {"gpus": 0, "time": 5}})
    asked = [(option(script, "gpus-per-node"), option(script, "time")) for script in scripts(calls)]
    assert asked == [("2", "10"), (None, "5")]


def test_a_training_by_several_processes_gets_them(calls, store):
    stage = fakes.stage("count", steps=1)
    stage.location.update({"nodes": 2, "devices": 4})
    stage.content["device"] = "cuda"
    submit(store, fakes.plan_of(stage), gpus=1)
    (script,) = scripts(calls)
    assert [option(script, name) for name in ("nodes", "ntasks-per-node", "gpus-per-node")] == ["2", "4", "4"]
    assert "--kill-on-bad-exit=1" in script


def test_fewer_cores_than_threads_are_refused(calls, store):
    plan = fakes.plan_of(fakes.stage("count", threads=4, steps=1))
    with pytest.raises(UserError, match="cpus: 2 for count stages, which compute with 4 threads"):
        submit(store, plan, cpus=2)


def test_what_sbatch_says_reaches_the_user(calls, store, tmp_path):
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpx' >&2; exit 1\n")
    with pytest.raises(UserError, match="sbatch refused the count stages: sbatch: error: invalid partition specified: gpx"):
        submit(store, fakes.chains(1))
    assert not list((store.root / "slurm").iterdir())


def test_without_slurm_the_message_says_what_is_missing(store, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no sbatch, srun, squeue, scancel on this machine"):
        submit(store, fakes.chains(1))


def array_jobs(stages, number):
    return {stage.id: f"{number}_{index}" for index, stage in enumerate(stages)}


def of_kind(plan, kind):
    return [stage for stage in plan.stages.values() if stage.kind == kind]


def test_dependencies():
    one, three = fakes.chains(1), fakes.chains(3)
    counts, doubles = of_kind(three, "count"), of_kind(three, "double")
    aligned = array_jobs(counts, 12)
    shared = [fakes.stage("double", seed=seed, inputs={"count": counts[0].id}) for seed in range(2)]
    mixed = [*shared, doubles[1]]
    table = {
        "nothing is needed": (counts, {}, None),
        "what is needed is done": (doubles, {}, None),
        "one for one": (of_kind(one, "double"), {of_kind(one, "count")[0].id: "7"}, "afterok:7"),
        "each its own": (doubles, aligned, "aftercorr:12"),
        "all the same": (shared, aligned, "afterok:12_0"),
        "several of one array": (mixed, aligned, "afterany:12_0:12_1"),
        "in another order": (doubles[::-1], aligned, "afterany:12_0:12_1:12_2"),
        "of two arrays": (doubles[:2], {counts[0].id: "12_0", counts[1].id: "13_1"}, "afterany:12_0:13_1"),
        "more elements than the other array": (doubles, array_jobs(counts[:2], 12), "afterany:12_0:12_1"),
    }
    for name, (stages, jobs, expected) in table.items():
        assert dependency(stages, jobs) == expected, name


def test_arrays_keep_the_order_of_what_they_need():
    plan = fakes.chains(4)
    long_first = arrays_of(plan, plan.stages, set(plan.stages), 1000)
    assert [(array.kind, array.depth, len(array.stages)) for array in long_first] == [("count", 0, 4), ("double", 1, 4)]
    assert [stage.inputs[0] for stage in long_first[1].stages] == [stage.id for stage in long_first[0].stages]


def test_what_can_start_does_not_wait_with_the_rest():
    plan = fakes.chains(3)
    counts, doubles = of_kind(plan, "count"), of_kind(plan, "double")
    todo = {stage.id for stage in (*counts[1:], *doubles)}
    arrays = arrays_of(plan, todo, todo, 1000)
    assert [[stage.id for stage in array.stages] for array in arrays[1:]] == [[doubles[0].id], [s.id for s in doubles[1:]]]


@pytest.mark.parametrize(("text", "expected"), [
    ("12", ["12"]),
    ("12_3", ["12_3"]),
    ("12_[3]", ["12_3"]),
    ("12_[0-2,5%4]", ["12_0", "12_1", "12_2", "12_5"]),
])  # fmt: skip
def test_job_ids_of_pending_arrays_are_expanded(text, expected):
    assert _expand(text) == expected


@pytest.mark.parametrize(("text", "message"), [
    ("partition: gpu\ntimes: 5\n", r"cluster.yaml:2: times: unknown field 'times', did you mean 'time'\?"),
    ("gpus: two\n", r"cluster.yaml:1: gpus: .*got 'two'"),
    ("kinds:\n  trian: {gpus: 1}\n", r"cluster.yaml:2: kinds: unknown kind of stage 'trian', did you mean 'train'\?"),
    ("kinds:\n  train:\n    max: 1\n", r"cluster.yaml:3: .*unknown field 'max'"),
    ("time: 2\n", r"cluster.yaml:1: time: 2 min leave nothing but the 120 s of save_seconds"),
    ("memory: 8\nkinds:\n  coco:\n    time: 1\n", r"cluster.yaml:4: time: 1 min leave nothing"),
    ("setup: [\"a\\nb\"]\n", r"cluster.yaml:1: setup: give each line as an item of its own"),
])  # fmt: skip
def test_a_wrong_cluster_file_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=message):
        read_cluster(path)


@pytest.mark.parametrize(("asked", "message"), [
    ({"time": 121}, r"time: 121 min for .* stages, but partition small allows 120; ask for less"),
    ({"partition": "long", "time": 5071}, r"but partition long allows 5070"),
    ({"memory": 17}, r"memory: 17 GiB for .* stages, but no node of partition small has more than 16.0"),
])  # fmt: skip
def test_what_a_partition_does_not_allow_is_refused_before_submission(calls, store, asked, message):
    commands = calls.parent / "bin" / "sinfo"
    if "partition" in asked:
        commands.write_text("#!/bin/sh\ncase \"$*\" in *%R*) echo long;; *) echo 'long|3-12:30:00|4096';; esac\n")
    with pytest.raises(UserError, match=message):
        submit(store, fakes.chains(1), **asked)
    assert not list(calls.iterdir())


def test_stages_that_were_measured_to_need_more_are_warned_of(store):
    plan = fakes.chains(1)

    class Measured:
        def of(self, stage):
            return Estimate(90 * 60.0, 3 * 2**30)

    warnings = dict(shortfalls(plan.stages.values(), Cluster.from_data({"time": 60, "memory": 2}), Measured()))
    assert set(warnings) == set(plan.stages)
    assert "expected to need 3.0 GiB, memory gives it 2" in next(iter(warnings.values()))
    times = [text for _, text in shortfalls(plan.stages.values(), Cluster.from_data({"time": 60}), Measured())]
    assert all("expected to take 1 h 30 min, the time limit is 60 min" in text for text in times)
    assert list(shortfalls(plan.stages.values(), Cluster.from_data({"time": 100, "memory": 4}), Measured())) == []


def test_a_kind_takes_what_it_does_not_say_from_the_rest():
    cluster = Cluster.from_data({"gpus": 1, "time": 30, "kinds": {"coco": {"gpus": 0}}})
    assert (cluster.resources("coco").gpus, cluster.resources("coco").time, cluster.resources("train").gpus) == (0, 30, 1)
