"""The benchmark of inference: its table from runs, and all of it in miniature."""

import csv

import pytest

from benchmarks.engines import inference
from benchmarks.engines.runners import Candidate, Runner, Task, TimedRun, network, picture
from yolact.config.engine import EngineConfig

PLAIN, KEPT = Candidate(EngineConfig()), Candidate(EngineConfig(), keeps_memory=True)
COMPILED = Candidate(EngineConfig(kind="compiled"))


def runner(network_ms, per_detection_ms, calls=None):
    """A candidate whose network takes as long whatever is found, and 3 ms less without masks."""

    def run(task):
        if calls is not None:
            calls.append(task)
        parts = {"network": network_ms - 3 * (not task.masks), "assembly": per_detection_ms * task.detections * task.masks}
        return TimedRun(parts if task.by_part else {"whole": sum(parts.values())}, task.detections)

    return run


def test_the_table_follows_from_the_runs():
    runners = {PLAIN: runner(400, 1), KEPT: runner(350, 1), COMPILED: runner(90, 0.1)}
    rows = inference.table(inference.run_rounds(runners, repeats=4))
    wholes = {row["engine"]: row for row in rows if row["part"] == "whole"}
    assert {name: row["ratio"] for name, row in wholes.items()} == {
        "eager fp32": 1, "eager fp32, memory kept": pytest.approx(500 / 450, rel=1e-5), "compiled fp32": 5}  # fmt: skip
    assert (wholes["compiled fp32"]["ratio_kept"], wholes["compiled fp32"]["n"]) == (4.5, 4)
    assert wholes["compiled fp32"]["mask_branch_share"] == pytest.approx(0.13)
    own = {row["part"]: row for row in rows if row["engine"] == "compiled fp32"}
    assert [part for part in own if part.endswith("up to assembly")] == [
        f"detections={count}: up to assembly" for count in inference.COUNTS]  # fmt: skip
    assert own["growth"]["growth_percent"] == 0 and own["growth"]["slope_ms_per_detection"] == pytest.approx(0.1)
    assert own["without masks"]["median_ms"] == 87 and own["detections=25: assembly"]["median_ms"] == pytest.approx(2.5)


def test_growth_is_taken_round_by_round():
    """A round in which the machine is half as fast changes nothing."""
    runs = {
        count: [TimedRun({"network": slow * (100 + count), "assembly": count}, count) for slow in (1, 2)] for count in (1, 100)
    }
    growth = inference._growth(runs)[-1]
    assert growth["growth_percent"] == growth["growth_percent_p75"] == pytest.approx(100 * (200 / 101 - 1), rel=1e-5)


def test_every_round_runs_all_and_warming_up_is_dropped():
    calls = []
    taken = inference.run_rounds({PLAIN: runner(1, 1, calls), COMPILED: runner(1, 1)}, repeats=2)
    assert len(calls) == (inference.WARMUP + 2) * len(inference.tasks(PLAIN))
    assert {len(runs) for own in taken.values() for runs in own.values()} == {2}


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("cpu", ["eager fp32", "eager fp32, memory kept", "eager bf16", "compiled fp32", "compiled bf16"]),
        ("cuda", ["eager fp32", "eager bf16", "eager fp16", "compiled fp32", "compiled bf16", "compiled fp16"]),
    ],
)
def test_the_plain_reference_comes_first(device, names):
    assert [each.name for each in inference.candidates(device)] == names


def test_a_run_gives_its_whole_its_parts_and_the_number_of_detections():
    run = Runner(network("cpu", tiny=True), picture("cpu", tiny=True), EngineConfig())
    whole, parts, boxes = run(Task()), run(Task(detections=3, by_part=True)), run(Task(masks=False, by_part=True))
    assert list(whole.milliseconds) == ["whole"] and (whole.found, parts.found) == (100, 3)
    assert list(parts.milliseconds) == ["preprocess", "backbone", "fpn", "protonet", "head", "nms", "assembly"]
    assert "protonet" not in boxes.milliseconds and min(parts.milliseconds.values()) > 0


@pytest.mark.slow
def test_alternating_processes_write_table_and_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "candidates", lambda device: [PLAIN, KEPT])
    inference.main(["--tiny", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "inference.csv").open()))
    assert [row["engine"] for row in rows if row["part"] == "whole"] == [PLAIN.name, KEPT.name]
    assert {"ratio", "ratio_kept", "mask_branch_share", "growth_percent_p75", "slope_ms_per_detection", "hardware"} <= set(
        rows[0]
    )
    assert (tmp_path / "inference.png").stat().st_size > 10_000


@pytest.mark.slow
def test_on_a_gpu_engines_share_a_process(monkeypatch):
    """Played on the CPU."""
    monkeypatch.setattr(inference, "network", lambda device, tiny: network("cpu", tiny))
    monkeypatch.setattr(inference, "picture", lambda device, tiny: picture("cpu", tiny))
    monkeypatch.setattr(inference, "candidates", lambda device: [PLAIN, Candidate(EngineConfig(precision="bf16"))])
    wholes = [row for row in inference.measure("cuda", 1, 2, tiny=True) if row["part"] == "whole"]
    assert [row["engine"] for row in wholes] == ["eager fp32", "eager bf16"]
    assert wholes[0]["ratio"] == 1 and not any("ratio_kept" in row for row in wholes)


@pytest.mark.slow
def test_an_engine_that_cannot_be_had_ends_the_command_with_its_message(monkeypatch, capfd):
    impossible = Candidate(EngineConfig(precision="fp16"))
    monkeypatch.setattr(inference, "candidates", lambda device: [impossible])
    with pytest.raises(SystemExit, match="a worker ended early"):
        inference.main(["--tiny", "--repeats", "1", "--threads", "1"])
    told = capfd.readouterr().err
    assert "fp16 needs a GPU" in told and "Traceback" not in told


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_engine_has_its_rows(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    inference.main(["--tiny", "--repeats", "3", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "inference.csv").open()))
    wholes = [row for row in rows if row["part"] == "whole"]
    assert [row["engine"] for row in wholes] == [each.name for each in inference.candidates("cpu")]
    assert wholes[0]["ratio"] == "1.0" and {row["n"] for row in rows} == {"3"}
