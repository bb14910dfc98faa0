"""The commands list, plan, run, status, diff and schema, end to end, and how the roof ends when something is wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from experiments.cli import main as roof
from experiments.cli.main import COMMANDS, call
from experiments.store.folder import Store
from tests.support.paths import ROOT

TINY = """\
kind: shapes
name: tiny
shapes: {image_size: 64, train: 4, val: 2, test: 3, seed: 3}
"""
SETTINGS = {
    "training.iterations": 2,
    "training.batch_size": 2,
    "training.warmup_iterations": 1,
    "training.log_every": 1,
    "speed.repeats": 2,
    "speed.warmup": 1,
    "model.image_size": 64,
    "model.backbone.width": 8,
    "inference.max_detections": 5,
}
SHORT = [part for field, value in SETTINGS.items() for part in ("--set", f"{field}={value}")]


class Bench:
    """A results folder with a tiny data set, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.data = folder / "tiny.yaml"
        self.data.write_text(TINY)

    def arguments(self, command, *more):
        return [command, "nms", *SHORT, "--data", str(self.data), "--seeds", "0", "--results", str(self.results), *more]

    def call(self, command, *more):
        return call(self.arguments(command, *more))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A bench on which two variants were run in this process."""
    bench = Bench(tmp_path_factory.mktemp("bench"))
    assert bench.call("run", "--launcher", "inprocess", "--only", "fast", "--only", "standard") == 0
    return bench


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    assert call([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Example" in text or command == "data"
    assert COMMANDS[command][1]


def test_help_imports_nothing_slow():
    slow = "{'torch', 'torchvision', 'pandas', 'matplotlib', 'pydantic', 'pycocotools', 'nbconvert', 'papermill'}"
    code = "import sys; from experiments.cli.main import call; call(['--help']); "
    code += f"sys.exit(' '.join({slow} & set(sys.modules)) or 0)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert all(command in answer.stdout for command in COMMANDS)


def test_list(capsys):
    assert call(["list"]) == 0
    text = capsys.readouterr().out
    assert "prototypes" in text
    assert "6 × 3" in text
    assert "nuclei" in text


def test_plan_before_anything_ran(tmp_path, capsys):
    bench = Bench(tmp_path)
    assert bench.call("plan") == 0
    text = capsys.readouterr().out
    assert "20 stages, 20 to run (20 new), 0 cached" in text
    assert "resnet_tiny for the paper's resnet101" in text
    assert not bench.results.exists()


def test_plan_as_json_and_explained(done, capsys):
    assert done.call("plan", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert {stage["reason"] for stage in plan["stages"]} == {"cached", "new"}
    assert plan["origins"]["fast"]["training.iterations"] == "--set"
    assert done.call("plan", "--explain") == 0
    text = capsys.readouterr().out
    assert "training.iterations = 2   # --set" in text
    assert re.search(r"training.lr = [0-9.]+   # scale toy \(", text)


def test_run_leaves_the_files_of_the_contract(done):
    store = Store(done.results)
    record = store.experiment("nms-toy")
    assert record["data"]["name"] == "tiny"
    assert record["data"]["split"] == "test"
    assert [v["name"] for v in record["variants"]][:3] == ["standard", "fast", "cross-class"]
    stages = next(run["stages"] for run in record["runs"] if run["variant"] == "fast")
    files = {kind: {path.name for path in store.stage(stages[kind]).result.iterdir()} for kind in stages}
    assert files == {
        "train": {"weights.pt", "model.json", "losses.csv", "summary.json"},
        "predict": {"detections.json", "summary.json"},
        "coco": {"metrics.json", "per_class.csv", "curves.json", "matches.npz"},
        "speed": {"speed.json"},
    }
    described = json.loads((store.stage(stages["train"]).result / "model.json").read_text())
    assert len(described["class_names"]) == len(described["category_ids"])
    losses = (store.stage(stages["train"]).result / "losses.csv").read_text().splitlines()
    assert losses[0].startswith("iteration,lr,loss")
    assert len(losses) == 3


def test_running_again_does_nothing(done, capsys):
    assert done.call("run", "--only", "fast") == 0
    assert "0 to run, 4 cached" in capsys.readouterr().out


def test_a_run_on_other_data_does_not_replace_the_record(done, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(TINY.replace("name: tiny", "name: other"))
    [path] = (done.results / "experiments").iterdir()
    before = path.read_bytes()
    assert done.call("run", "--only", "fast", "--data", str(other)) == 2
    assert "holds nms-toy on data set tiny, and would forget it for other" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert done.call("plan", "--only", "fast", "--data", str(other)) == 0


def test_the_same_stage_gives_the_same_bytes(done, tmp_path):
    other = Bench(tmp_path)
    assert other.call("run", "--launcher", "inprocess", "--only", "fast") == 0
    store, again = Store(done.results), Store(other.results)
    for kind, stage_id in store.experiment("nms-toy")["runs"][1]["stages"].items():
        if kind != "speed":
            assert store.stage(stage_id).status.digests == again.stage(stage_id).status.digests


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(done, tmp_path):
    other = Bench(tmp_path)
    assert other.call("run", "--only", "fast", "--only", "standard") == 0
    store, again = Store(done.results), Store(other.results)
    for view in again.records():
        if view.kind != "speed":
            assert store.stage(view.id).status.digests == view.status.digests


def test_status(done, capsys):
    assert call(["status", "--results", str(done.results)]) == 0
    assert "nms-toy" in capsys.readouterr().out
    assert call(["status", "nms-toy", "--results", str(done.results), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert sorted({row["state"] for row in rows}) == ["done", "planned"]
    assert call(["status", "nms-toy", "--results", str(done.results)]) == 0
    assert "predict-" in capsys.readouterr().out


def test_status_of_an_empty_folder(tmp_path, capsys):
    assert call(["status", "--results", str(tmp_path)]) == 0
    assert "nothing was run" in capsys.readouterr().out


def test_diff_of_runs_and_stages(done, capsys):
    results = ["--results", str(done.results)]
    assert call(["diff", "nms-toy:fast:0", "nms-toy:standard", *results]) == 0
    text = capsys.readouterr().out
    assert "inference.suppression: fast -> standard" in text
    assert "train" not in text
    assert re.search(r"  latency_ms: .* -> .* \(.*\) ms\n", text), "a metric by its name, with its unit"
    assert "stages_ms.nms.median: " in text, "other numbers by their place"
    stages = Store(done.results).experiment("nms-toy")["runs"][0]["stages"]
    assert call(["diff", stages["train"], stages["train"], *results]) == 0
    assert "the same settings and the same results" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["spec", "scale", "config"])
def test_schema_is_json(what, capsys):
    assert call(["schema", what]) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "object"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["plan", "nsm"], "did you mean 'nms'?"),
        (["plan", "nms", "--scale", "tyo"], "did you mean 'toy'?"),
        (["plan", "nms", "--only", "fsat"], "did you mean 'fast'?"),
        (["plan", "nms", "--seeds", "a"], "not a list of whole numbers"),
        (["plan", "nms", "--seeds", "1,1"], "different seeds"),
        (["plan", "nms", "--seeds", str(2**63)], "from 0 to 9223372036854775807"),
        (["plan", "nms", "--set", "training.lr=-1"], "greater than 0"),
        (["plan", "nms", "--data", "/missing"], "/missing"),
        (["status", "missing-toy"], "no experiment 'missing-toy'"),
        (["diff", "a:b", "train-0"], "no experiment 'a'"),
        (["schema", "everything"], "everything"),
    ],
)
def test_a_users_error_is_one_message(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(arguments) == 2
    text = capsys.readouterr().err
    assert says in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission"), (errno.EROFS, "no permission"), (errno.EIO, None)],
)
def test_what_the_machine_refuses_is_said(number, says):
    message = roof.os_message(OSError(number, "text", "some/file"))
    assert (message is None) if says is None else (says in message and "some/file" in message)


@pytest.fixture
def ordinary_user():
    """Not root while the test lasts: root may write everywhere."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


@pytest.fixture
def locked_folder():
    """A folder that may be read and not written."""
    folder = Path(tempfile.mkdtemp())
    (folder / "results").mkdir()
    (folder / "tiny.yaml").write_text(TINY)
    folder.chmod(0o755)
    (folder / "results").chmod(0o555)
    yield folder
    if os.geteuid() != 0:
        (folder / "results").chmod(0o755)
    shutil.rmtree(folder)


def test_a_results_folder_that_may_not_be_written(locked_folder, ordinary_user, capsys):
    results = ["--results", str(locked_folder / "results"), "--data", str(locked_folder / "tiny.yaml")]
    assert call(["run", "nms", "--seeds", "0", *results]) == 2
    text = capsys.readouterr().err
    assert "ermission" in text
    assert str(locked_folder) in text
    assert "Traceback" not in text
    assert not list((locked_folder / "results").iterdir())


def test_a_results_path_that_is_a_file(tmp_path, capsys):
    bench = Bench(tmp_path)
    bench.results.write_text("a file")
    assert bench.call("run") == 2
    assert str(bench.results) in capsys.readouterr().err


@pytest.fixture
def small_disk(tmp_path):
    """(folder, shell prefix): a disk of 3 MB where this user may mount one, else a limit of 64 KB on every file."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    yield folder, "" if mounted else "ulimit -f 64; "
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_says_so(done, small_disk):
    """A training whose weights and checkpoints don't fit on the disk."""
    folder, prefix = small_disk
    bench = Bench(folder)
    shutil.copytree(done.results / "data", bench.results / "data")
    arguments = bench.arguments("run", "--launcher", "inprocess", "--only", "fast", "--set", "model.backbone.width=96")
    command = prefix + shlex.join([sys.executable, "-m", "experiments.cli.main", *arguments])
    answer = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode in (1, 2)
    assert "Traceback" not in answer.stderr + answer.stdout
    assert any(text in answer.stdout + answer.stderr for text in ("No space left", "disk is full", "File too large"))
    for view in Store(bench.results).records():
        assert view.state != "done" or view.damaged() == []


def test_a_terminal_that_knows_ascii_alone_is_written_to():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "experiments.cli.main", "list"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0 and "\\xd7 3" in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("list",),
        ("plan", "nms"),
        ("plan", "nms", "--explain"),
        ("plan", "nms", "--json"),
        ("schema", "spec"),
        ("status", "--results", "nowhere"),
    ],
    ids=" ".join,
)
def test_a_reader_that_leaves_ends_the_command_quietly(arguments, tmp_path):
    """`yolact plan nms | head -1`, the reader gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "experiments.cli.main", *arguments]
    ended = subprocess.run(
        command, stdout=write, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")
