"""`yolact doctor`: each check against a machine where it is right and one where it isn't."""

from __future__ import annotations

import errno
import subprocess
from collections import namedtuple

import pytest

from experiments.cli.keep import checks as doctor
from experiments.cli.main import call
from experiments.launch.slurm import limits
from experiments.launch.slurm.cluster import Cluster
from yolact.errors import UserError

GOOD = {"SlurmctldParameters": "a,preempt_send_user_signal", "AccountingStorageType": "accounting_storage/slurmdbd"}


def levels(findings):
    return [finding.level for finding in findings]


@pytest.mark.parametrize(
    ("required", "said"),
    [
        ("click>=99", ">=99"),
        ("click~=0.1", "~=0.1"),
        ("click!=CLICK", "!="),
        ("no-such-package>=1", "isn't installed"),
        ("rich[x] (>=1)", None),
        ("click==CLICK", None),
        ("no-such-package>=1; python_version < '3'", None),
        ("no-such-package; extra == 'test'", None),
    ],
)
def test_a_package_that_is_too_old_or_missing_is_a_problem(monkeypatch, required, said):
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: [required.replace("CLICK", doctor.metadata.version("click"))])
    found = list(doctor.packages())
    assert levels(found) == ["ok" if said is None else "problem"]
    assert said is None or said in found[0].what


def test_this_environment_fits():
    assert levels([*doctor.python(), *doctor.packages()]) == ["ok", "ok"]


@pytest.mark.parametrize(("free", "level"), [(100, "ok"), (10, "warning"), (1, "problem")])
def test_free_space(tmp_path, monkeypatch, free, level):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage(free * 2**30))
    assert levels(doctor.results_folder(tmp_path / "results")) == [level]
    assert not list(tmp_path.iterdir())


def test_a_folder_without_locks_is_a_problem(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(doctor.fcntl, "flock", refuse)
    [found] = doctor.results_folder(tmp_path)
    assert (found.level, "No locks" in found.what) == ("problem", True)


def test_data_sets_that_are_there_and_not(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLACT_DATA", str(tmp_path))
    found = {finding.what.split(":")[0]: finding for finding in doctor.data_sets()}
    assert found["data set shapes"].level == "ok"
    assert found["data set coco"].level == "warning"
    assert str(tmp_path) in found["data set coco"].what


def test_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert levels(doctor.weights()) == ["warning"]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet50.pth").write_text("x")
    [found] = doctor.weights()
    assert (found.level, "resnet50.pth" in found.what) == ("ok", True)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ["ok", "ok", "ok"]),
        ({"SlurmctldParameters": "(null)"}, ["ok", "warning", "ok"]),
        ({"AccountingStorageType": "accounting_storage/none"}, ["ok", "ok", "warning"]),
        ({"AccountingStorageType": "(null)"}, ["ok", "ok", "warning"]),
        ({"JobRequeue": "0"}, ["ok", "ok", "ok", "warning"]),
    ],
)
def test_slurm_settings(changed, expected):
    assert levels(doctor.slurm_settings({**GOOD, **changed})) == expected


@pytest.mark.parametrize(
    ("said", "level"), [("Could not establish a configuration source", "warning"), ("Unable to contact controller", "problem")]
)
def test_a_slurm_that_does_not_answer(monkeypatch, said, level):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, "scontrol", stderr=said)

    monkeypatch.setattr(doctor.shutil, "which", lambda name: "scontrol")
    monkeypatch.setattr(doctor, "installed", lambda name: True)
    monkeypatch.setattr(doctor.subprocess, "run", fail)
    assert levels(doctor.slurm()) == [level]


@pytest.mark.parametrize(
    ("content", "known", "expected", "says"),
    [
        ("partition: gpu\n", ["gpu", "cpu"], ["ok"], "no partition is unknown"),
        ("partition: gup\n", ["gpu", "cpu"], ["problem"], "no 'gup', did you mean 'gpu'"),
        ("partition: gpu,long\nkinds: {coco: {partition: none}}\n", ["gpu", "cpu"], ["problem"] * 2, "no 'long'"),
        ("partition: any\n", [], ["ok"], "no partition is unknown"),
        ("partitoin: gpu\n", ["gpu"], ["problem"], "unknown field 'partitoin'"),
        (None, ["gpu"], ["problem"], "cluster.yaml"),
    ],
)
def test_a_clusters_file(tmp_path, monkeypatch, content, known, expected, says):
    monkeypatch.setattr(limits, "partitions", lambda: known)
    path = tmp_path / "cluster.yaml"
    if content is not None:
        path.write_text(content)
    found = list(doctor.cluster_file(path))
    assert levels(found) == expected and says in found[0].what


def test_an_unknown_partition_is_refused_before_anything_is_submitted(monkeypatch):
    monkeypatch.setattr(limits, "partitions", lambda: ["gpu", "cpu"])
    with pytest.raises(UserError, match="partition: this cluster has no 'gup', did you mean 'gpu'"):
        limits.check_partitions(Cluster(partition="gup"), ["coco"])


@pytest.mark.parametrize(("level", "status"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_the_exit_status_says_whether_there_are_problems(monkeypatch, level, status, capsys):
    monkeypatch.setattr(doctor, "examine", lambda results, config: [doctor.Finding(level, "something", "do this")])
    assert call(["doctor"]) == status
    assert "-> do this" in capsys.readouterr().out


def test_the_command_looks_at_everything(tmp_path, capsys):
    assert call(["doctor", "--results", str(tmp_path)]) in (0, 1)
    text = capsys.readouterr().out
    assert all(word in text for word in ("Python", "packages", "torch", "cores", "free", "data set shapes", "weights", "SLURM"))
