"""The clock: what it counts, what it says about itself, and that it changes nothing."""

import json
import math
import time
from types import SimpleNamespace

import pytest
import torch

from yolact.config import InferenceConfig, SpeedConfig
from yolact.inference import speed
from yolact.inference.engines.engine import EngineError
from yolact.inference.speed import SpeedError, measure_speed
from yolact.models.base import Model
from yolact.runtime import profiling
from yolact.runtime.profiling import SectionClock, section
from yolact.structures import Detections

CPU = torch.device("cpu")


class Ticking(Model):
    """A model whose two sections take 2 ms and 4 ms of a planted clock; 1 ms passes outside of any."""

    section_names = ("preprocess", "first", "second")
    image_size = 32
    num_classes = 1

    def __init__(self):
        super().__init__()
        self.register_pixels((0.0,) * 3, (1.0,) * 3)
        self.now = 0
        self.seen = []

    def forward(self, images, masks=True):
        self.seen.append((int(images[0, 0, 0, 0]), torch.get_num_threads(), self.training, torch.is_autocast_enabled("cpu")))
        with section("first"):
            self.now += 2_000_000
        return (images,)

    def postprocess(self, raw, sizes, inference):
        for _ in range(2):
            with section("second"):
                self.now += 2_000_000
        self.now += 1_000_000
        n = 7
        masks = torch.zeros(n, *sizes[0], dtype=torch.bool)
        return [Detections(torch.zeros(n, 4), torch.zeros(n), torch.zeros(n, dtype=torch.int64), masks)]


def pictures(count):
    return [torch.full((3, 4, 5 + index), index, dtype=torch.uint8) for index in range(count)]


@pytest.fixture
def measure(monkeypatch):
    """Measure a ticking model by its own clock."""

    def measured(model=None, count=2, repeats=5, warmup=3, precision="fp32", **options):
        model, inference = model or Ticking(), InferenceConfig(engine={"precision": precision})
        monkeypatch.setattr(time, "perf_counter_ns", lambda: model.now)
        given = {"device": "cpu", "threads": 1, **options}
        return measure_speed(model, pictures(count), inference, SpeedConfig(warmup=warmup, repeats=repeats), **given)

    return measured


def test_the_record_has_the_contracts_form(measure):
    record = json.loads(json.dumps(measure()))
    assert set(record) == {"latency_ms", "fps", "stages_ms", "protocol", "samples_ms"}
    assert set(record["latency_ms"]) == {"median", "p25", "p75", "mean", "n"}
    assert list(record["stages_ms"]) == ["preprocess", "first", "second", "copy", "other"]
    assert record["latency_ms"]["n"] == len(record["samples_ms"]) == 5
    protocol = record["protocol"]
    expected = {"batch": 1, "precision": "fp32", "threads": 1, "warmup": 3, "repeats": 5, "image_size": 32, "images": 2}
    assert expected.items() <= protocol.items()
    assert protocol["image_sizes"] == [[4, 5], [4, 6]]
    assert protocol["detections_per_image"] == 7
    copied = "copying the first 5 detections to the host"
    assert protocol["inside"] == ["preprocess", "first", "second", copied, "final synchronisation"]
    assert {"device", "outside", "hardware", "versions", "tf32"} <= set(protocol)


def test_medians_and_rates_agree_with_the_samples(measure):
    record = measure()
    latency, fps = record["latency_ms"], record["fps"]
    assert latency["median"] == sorted(record["samples_ms"])[2]
    assert latency["p25"] <= latency["median"] <= latency["p75"]
    assert fps["median"] == pytest.approx(1000 / latency["median"])
    assert fps["p25"] <= fps["median"] <= fps["p75"]


def test_stages_hold_their_own_time_and_other_holds_the_rest(measure):
    record = measure()
    stages = {name: values["median"] for name, values in record["stages_ms"].items()}
    assert stages == {"preprocess": 0, "first": 2, "second": 4, "copy": 0, "other": 1}
    assert record["latency_ms"]["median"] == 7


def test_images_are_taken_in_turn_after_the_warm_up_in_both_passes(measure):
    model = Ticking()
    measure(model, count=3, warmup=2, repeats=4)
    assert [seen[0] for seen in model.seen] == [0, 1] + [0, 1, 2, 0] * 2


@pytest.mark.parametrize("training", [True, False])
def test_threads_and_mode_are_set_and_given_back(measure, training):
    model = Ticking().train(training)
    before = torch.get_num_threads()
    measure(model, threads=2)
    assert {seen[1:3] for seen in model.seen} == {(2, False)}
    assert torch.get_num_threads() == before and model.training is training


@pytest.mark.parametrize(("precision", "casts"), [("fp32", False), ("bf16", True)])
def test_precision_is_autocast(measure, precision, casts):
    model = Ticking()
    assert measure(model, precision=precision)["protocol"]["precision"] == precision
    assert {seen[3] for seen in model.seen} == {casts}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 0}, SpeedError, "no images"),
        ({"precision": "fp16"}, EngineError, "fp16 needs a GPU"),
        ({"device": "nonsense"}, SpeedError, "device 'nonsense' can't be used"),
        ({"device": "cuda:99"}, SpeedError, "device 'cuda:99' can't be used"),
    ],
)
def test_what_cannot_be_measured_is_said(measure, options, error, message):
    with pytest.raises(error, match=message):
        measure(**options)


@pytest.mark.parametrize(("convolution", "matmul"), [("ieee", "ieee"), ("tf32", "ieee"), ("ieee", "tf32")])
def test_tf32_in_convolutions_counts_as_in_matrix_products(monkeypatch, convolution, matmul):
    monkeypatch.setattr(torch.backends.cudnn, "conv", SimpleNamespace(fp32_precision=convolution))
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(fp32_precision=matmul))
    assert speed.rounds_to_tf32() is ("tf32" in (convolution, matmul))


def test_the_clock_adds_up_repeated_sections_and_starts_again(monkeypatch):
    ticks = iter([0, 5, 10, 17, 20, 20])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(ticks))
    clock = SectionClock(CPU)
    for name in ("a", "a", "b"):
        with clock(name):
            pass
    assert list(clock.take().items()) == [("a", 12), ("b", 0)]
    assert clock.take() == {}


def test_the_clock_waits_for_the_device_around_every_section(monkeypatch):
    waits = []
    monkeypatch.setattr(profiling, "synchronizer", lambda device: lambda: waits.append(device))
    clock = SectionClock(CPU)
    with clock("a"):
        assert len(waits) == 1
    assert len(waits) == 2


def test_a_real_model_is_timed_in_all_its_sections():
    from yolact.config import BackboneConfig, MaskRCNNConfig
    from yolact.models.build import build_model

    torch.manual_seed(0)
    backbone = BackboneConfig(name="resnet_tiny", weights=None, width=4)
    config = MaskRCNNConfig(image_size=64, backbone=backbone, channels=8, representation=16, anchor_sizes=(8, 16, 32))
    model = build_model(config, num_classes=2)
    inference = InferenceConfig(suppression="standard", score_threshold=0.0)
    image = torch.zeros(3, 30, 40, dtype=torch.uint8)
    record = measure_speed(model, [image], inference, SpeedConfig(warmup=1, repeats=2), "cpu", 1)
    assert list(record["stages_ms"]) == [*model.section_names, "copy", "other"]
    assert all(math.isfinite(stage["median"]) for stage in record["stages_ms"].values())
    assert all(record["stages_ms"][name]["median"] > 0 for name in model.section_names)
