"""The benchmark of video at its smallest size."""

import torch

from benchmarks.common.results import save
from benchmarks.regressions import video
from tests.experiments.cli.test_measure import YOLACT
from yolact.config import InferenceConfig
from yolact.inference.predict_images import Trained
from yolact.models.build import build_model


def test_the_smallest_table_and_its_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(video, "HEIGHT", 40)
    monkeypatch.setattr(video, "WIDTH", 60)
    torch.manual_seed(0)
    trained = Trained(build_model(YOLACT, 2, pretrained=False).eval(), [1, 2], ["disc", "star"])
    rows = video.measure(
        trained, InferenceConfig(score_threshold=0.0, max_detections=2), "cpu", frames=3, repeats=2, milliseconds=1
    )
    assert [(row["what"], row["way"]) for row in rows] == [
        ("parts", "decoding"),
        ("parts", "decoding, drawing and writing"),
        ("network", "one by one"),
        ("network", "overlapped"),
        ("device", "one by one"),
        ("device", "overlapped"),
    ]
    assert all(
        row["n"] == 2 and row["frames_per_second"] > 0 and ("ratio" in row) == (row["way"] == "overlapped") for row in rows
    )
    assert rows[4]["median_ms"] > rows[0]["median_ms"] + 1  # it waits, and decodes as well
    save(tmp_path / "video.png", video.draw(rows, "a processor"))
    assert (tmp_path / "video.png").stat().st_size > 10_000
