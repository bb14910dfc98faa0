"""The clock: what it counts, what it says about itself, and that it changes nothing."""

import json
import math
import time
from types import SimpleNamespace

import pytest
import torch

from yolact.config import InferenceConfig, SpeedConfig
from yolact.inference import speed
from yolact.inference.speed import SectionClock, SpeedError, measure_speed
from yolact.structures import Detections

CPU = torch.device("cpu")


class Sleeper(torch.nn.Module):
    """A model whose two sections take known times; half a section's time passes outside of any."""

    section_names = ("first", "second")
    image_size = 32
    num_classes = 1

    def __init__(self):
        super().__init__()
        self.seen = []

    def predict(self, images, inference, sections=speed.no_sections, keep_prototypes=False):
        self.seen.append((int(images[0][0, 0, 0]), torch.get_num_threads(), self.training, torch.is_autocast_enabled("cpu")))
        with sections("first"):
            time.sleep(0.002)
        for _ in range(2):
            with sections("second"):
                time.sleep(0.002)
        time.sleep(0.001)
        n = 7
        masks = torch.zeros(n, *images[0].shape[-2:], dtype=torch.bool)
        return [Detections(torch.zeros(n, 4), torch.zeros(n), torch.zeros(n, dtype=torch.int64), masks)]


def pictures(count):
    return [torch.full((3, 4, 5 + index), index, dtype=torch.uint8) for index in range(count)]


def measure(model=None, count=2, repeats=5, warmup=3, **options):
    settings = SpeedConfig(warmup=warmup, repeats=repeats)
    given = {"device": "cpu", "threads": 1, **options}
    return measure_speed(model or Sleeper(), pictures(count), InferenceConfig(), settings, **given)


def test_the_record_has_the_contracts_form():
    record = json.loads(json.dumps(measure()))
    assert set(record) == {"latency_ms", "fps", "stages_ms", "protocol", "samples_ms"}
    assert set(record["latency_ms"]) == {"median", "p25", "p75", "mean", "n"}
    assert list(record["stages_ms"]) == ["first", "second", "copy", "other"]
    assert record["latency_ms"]["n"] == len(record["samples_ms"]) == 5
    protocol = record["protocol"]
    expected = {"batch": 1, "precision": "fp32", "threads": 1, "warmup": 3, "repeats": 5, "image_size": 32, "images": 2}
    assert expected.items() <= protocol.items()
    assert protocol["image_sizes"] == [[4, 5], [4, 6]]
    assert protocol["detections_per_image"] == 7
    assert protocol["inside"] == ["first", "second", "copying the first 5 detections to the host", "final synchronisation"]
    assert {"device", "outside", "hardware", "versions", "tf32"} <= set(protocol)


def test_medians_and_rates_agree_with_the_samples():
    record = measure()
    latency, fps = record["latency_ms"], record["fps"]
    assert latency["median"] == sorted(record["samples_ms"])[2]
    assert latency["p25"] <= latency["median"] <= latency["p75"]
    assert fps["median"] == pytest.approx(1000 / latency["median"])
    assert fps["p25"] <= fps["median"] <= fps["p75"]


def test_stages_hold_their_own_time_and_other_holds_the_rest():
    record = measure()
    stages = {name: values["median"] for name, values in record["stages_ms"].items()}
    assert 2 <= stages["first"] < stages["second"]
    assert stages["second"] >= 4 and 1 <= stages["other"] < stages["first"] + stages["second"]
    assert record["latency_ms"]["median"] >= 7


def test_images_are_taken_in_turn_after_the_warm_up_in_both_passes():
    model = Sleeper()
    measure(model, count=3, warmup=2, repeats=4)
    assert [seen[0] for seen in model.seen] == [0, 1] + [0, 1, 2, 0] * 2


@pytest.mark.parametrize("training", [True, False])
def test_threads_and_mode_are_set_and_given_back(training):
    model = Sleeper().train(training)
    before = torch.get_num_threads()
    measure(model, threads=2)
    assert {seen[1:3] for seen in model.seen} == {(2, False)}
    assert torch.get_num_threads() == before and model.training is training


@pytest.mark.parametrize(("precision", "casts"), [("fp32", False), ("bf16", True)])
def test_precision_is_autocast(precision, casts):
    model = Sleeper()
    assert measure(model, precision=precision)["protocol"]["precision"] == precision
    assert {seen[3] for seen in model.seen} == {casts}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "no images"),
        ({"precision": "int8"}, "precision 'int8' is not one of fp32, bf16, fp16"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"device": "nonsense"}, "device 'nonsense' can't be used"),
        ({"device": "cuda:99"}, "device 'cuda:99' can't be used"),
    ],
)
def test_what_cannot_be_measured_is_said(options, message):
    with pytest.raises(SpeedError, match=message):
        measure(**options)


@pytest.mark.parametrize(("convolution", "matmul"), [("ieee", "ieee"), ("tf32", "ieee"), ("ieee", "tf32")])
def test_tf32_in_convolutions_counts_as_in_matrix_products(monkeypatch, convolution, matmul):
    monkeypatch.setattr(torch.backends.cudnn, "conv", SimpleNamespace(fp32_precision=convolution))
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(fp32_precision=matmul))
    assert speed.rounds_to_tf32() is ("tf32" in (convolution, matmul))


def test_the_clock_adds_up_repeated_sections_and_starts_again():
    clock = SectionClock(CPU)
    for _ in range(3):
        with clock("a"):
            time.sleep(0.001)
    with clock("b"):
        pass
    taken = clock.take()
    assert list(taken) == ["a", "b"]
    assert taken["a"] >= 3e6 > taken["b"] >= 0
    assert clock.take() == {}


def test_the_clock_waits_for_the_device_around_every_section(monkeypatch):
    waits = []
    monkeypatch.setattr(speed, "_waiter", lambda device: lambda: waits.append(device))
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
