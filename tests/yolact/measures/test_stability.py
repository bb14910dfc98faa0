"""Stability of detections whose unsteadiness is planted: the measure returns what was planted."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.support.declared import assert_as_declared
from tests.support.looks import planted_look
from yolact.config.data import ShapesConfig
from yolact.data.coco import CocoSplit
from yolact.data.synthetic.camera import moving_camera
from yolact.data.synthetic.motion import FINE, Frame, moving_shapes
from yolact.data.synthetic.scenes import CLASSES, box_of
from yolact.data.synthetic.shapes import generate_shapes
from yolact.errors import UserError
from yolact.measures.context import Stopped
from yolact.measures.stability import MEASURE, StabilityConfig
from yolact.measures.stability import measure as stability
from yolact.measures.stability.tracking import greedy, look_at, motion_between, steady_iou, undisturbed
from yolact.structures import Detections

SIDE = 64


class Planted:
    """Finds the ground truth of the frame it is shown, after `spoil(number of the frame, masks (n, H, W), scores (n,))`."""

    image_size = SIDE

    def __init__(self, sequences, spoil=lambda number, masks, scores: (masks, scores)):
        self.known = {f.image.tobytes(): (number, f) for frames in sequences for number, f in enumerate(frames)}
        self.spoil = spoil

    def predict(self, images, inference):
        pixels = images[0].permute(1, 2, 0).contiguous().numpy()
        number, frame = self.known[pixels.tobytes()]
        masks, scores = self.spoil(number, frame.masks.copy(), np.full(len(frame.labels), 0.9, np.float32))
        return [detections(masks, frame.labels, scores)]


def detections(masks, labels, scores):
    boxes = [box_of(mask) if mask.any() else (0, 0, 0, 0) for mask in masks]
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.as_tensor(scores),
        labels=torch.as_tensor(labels),
        masks=torch.from_numpy(masks),
    )


def run(folder, model, **config):
    split = SimpleNamespace(class_names=list(CLASSES), image_ids=[1], size=lambda image_id: (SIDE, SIDE))
    folder.mkdir(exist_ok=True)
    stability.measure(folder, planted_look(model, split), StabilityConfig(**config))
    assert_as_declared(MEASURE, folder)
    tracks, objects = (pd.read_csv(folder / name) for name in ("tracks.csv", "objects.csv"))
    return tracks, objects, json.loads((folder / "summary.json").read_text())["means"]


def bodies(shape_of, frames=12, velocity=(3, 1), start=(60, 70), side=SIDE * FINE):
    """A sequence of one body on grey ground."""
    rows, columns = np.mgrid[0:side, 0:side]
    for number in range(frames):
        moved = np.array(velocity) * number
        mask = shape_of(columns - start[0] - moved[0], rows - start[1] - moved[1])
        image = np.full((side, side, 3), 90, np.uint8)
        image[mask] = 200
        offsets = np.stack([moved, [0, 0]]).astype(np.int64)
        yield Frame(image, np.zeros(1, np.int64), mask[None], np.ones(1, bool), offsets)


def square(x, y, half=20):
    return (np.abs(x) < half) & (np.abs(y) < half)  # 39 pixels wide


def disc(x, y):
    return x**2 + y**2 < 30**2


@pytest.fixture
def one_body(monkeypatch):
    """Makes `measure` look at one sequence of one body."""

    def use(shape_of, frames=12):
        monkeypatch.setattr(stability, "moving_shapes", lambda *_: bodies(shape_of, frames))
        return [list(bodies(shape_of, frames))]

    return use


def test_ground_truth_as_detections_is_perfectly_steady(tmp_path):
    model = Planted([moving_shapes(index, 16, SIDE) for index in range(3)])
    tracks, objects, means = run(tmp_path, model, sequences=3, frames=16)
    assert (tracks["iou"].dropna() == 1).all() and tracks["iou"].notna().sum() > 50
    assert (objects["gt_iou"].dropna() == 1).all() and (objects["iou"].dropna() == 1).all()
    assert objects[objects["visible"] == 1]["found"].all()
    assert {name: means[name]["mean"] for name in ("flicker", "score_change", "gt_iou_sd")} == {
        "flicker": 0, "score_change": 0, "gt_iou_sd": 0,
    }  # fmt: skip
    assert means["box_jitter"]["mean"] == 0 and means["box_jitter"]["n"] > 20


def test_ground_truth_under_a_moving_camera_is_perfectly_steady(tmp_path):
    generate_shapes(tmp_path / "data", ShapesConfig(image_size=SIDE, train=1, val=6, test=1))
    split = CocoSplit(tmp_path / "data" / "val", tmp_path / "data" / "annotations/instances_val.json")
    split.class_names = ["ball", "box", "wedge", "sun"]  # another data set than `shapes`, whose images don't move
    annotated = [image_id for image_id in split.image_ids if split.count(image_id)][:4]
    model = Planted([moving_camera(split, image_id, 6, SIDE) for image_id in annotated])
    stability.measure(tmp_path, planted_look(model, split), StabilityConfig(sequences=4, frames=6))
    tracks, objects = (pd.read_csv(tmp_path / name) for name in ("tracks.csv", "objects.csv"))
    assert tracks["sequence"].nunique() == 4
    assert (tracks["iou"].dropna() == 1).all() and tracks["iou"].notna().sum() > 20
    assert (tracks["box_jitter"].dropna() == 0).all() and tracks["box_jitter"].notna().sum() > 10
    assert objects[objects["visible"] == 1]["found"].all()


def test_a_split_without_objects_is_refused(tmp_path):
    split = SimpleNamespace(class_names=["cell"], image_ids=[1], size=lambda image_id: (SIDE, SIDE), count=lambda image_id: 0)
    with pytest.raises(UserError, match=r"evaluation\.split"):
        stability.measure(tmp_path, planted_look(Planted([]), split), StabilityConfig())


def test_motion_below_the_pixel_is_undone_exactly_on_discs(tmp_path, one_body):
    _, _, means = run(tmp_path, Planted(one_body(disc)), sequences=1, frames=12)
    assert means["iou"] == {"mean": 1, "n": 11}
    assert means["box_jitter"] == {"mean": 0, "n": 11}


@pytest.mark.parametrize("shift", [1, 3, 5])
def test_planted_jitter_costs_what_geometry_says(tmp_path, one_body, shift):
    """Every second mask lies `shift` pixels aside: of squares of side s, (s - shift) / (s + shift) is shared."""

    def tremble(number, masks, scores):
        return (np.roll(masks, shift, axis=2) if number % 2 else masks), scores

    _, _, means = run(tmp_path, Planted(one_body(square), tremble), sequences=1, frames=12)
    assert means["iou"]["mean"] == pytest.approx((39 - shift) / (39 + shift))
    assert means["box_jitter"]["mean"] == pytest.approx(shift / 2 / FINE)  # two of four sides; FINE pixels to one of the input
    assert means["gt_iou"]["mean"] == pytest.approx((1 + (39 - shift) / (39 + shift)) / 2)
    each = [1, (39 - shift) / (39 + shift)] * 6
    assert means["gt_iou_sd"]["mean"] == pytest.approx(np.std(each, ddof=1))


@pytest.mark.parametrize(
    ("lost", "changes", "gaps"),
    [
        ((), 0, 0),
        ((4,), 2, 1 / 12),
        ((4, 5, 8), 4, 3 / 12),
        ((0, 11), 2, 0),  # at either end nothing returns
        ((2, 3, 4, 5, 6), 2, 5 / 12),  # as long as patience lasts
        ((2, 3, 4, 5, 6, 7), 2, 0),  # longer: another track
    ],
)
def test_planted_drop_outs_are_the_flicker(tmp_path, one_body, lost, changes, gaps):
    def drop(number, masks, scores):
        return masks, np.where(number in lost, np.float32(0.29), scores)

    tracks, objects, means = run(tmp_path, Planted(one_body(square), drop), sequences=1, frames=12)
    assert means["flicker"] == {"mean": pytest.approx(changes / 11), "n": 11}
    assert means["gaps"]["mean"] == pytest.approx(gaps)
    assert means["found"]["mean"] == pytest.approx(1 - len(lost) / 12)
    assert tracks["track"].nunique() == (2 if len(lost) > 5 else 1)
    assert objects["found"].sum() == 12 - len(lost)


def test_planted_scores_are_the_score_change(tmp_path, one_body):
    def sway(number, masks, scores):
        return masks, scores - 0.2 * (number % 2)

    _, _, means = run(tmp_path, Planted(one_body(square), sway), sequences=1, frames=12)
    assert means["score_change"]["mean"] == pytest.approx(0.2, abs=1e-6)


def test_what_another_object_covers_is_no_unsteadiness_and_a_leak_is():
    a, b = (frame for frame in bodies(square, 2))
    covered = b.masks.copy()
    covered[:, :, 70:] = False  # something hides the right part in the second frame
    hidden = Frame(b.image, b.labels, covered, b.visible, b.offsets)
    before, after = seen(a), seen(hidden, number=1)
    motion = motion_between(before, after)
    assert motion == (3, 1)
    assert steady_iou(before, after, motion) == 1
    assert not undisturbed(before, after, motion)
    spilt = b.masks.copy()
    spilt[:, 40:50, 40:50] = True
    leaking = seen(Frame(b.image, b.labels, b.masks, b.visible, b.offsets), spilt, number=1)
    assert steady_iou(before, leaking, motion) == pytest.approx(39 * 39 / (39 * 39 + np.count_nonzero(spilt & ~b.masks)))


def seen(frame, masks=None, number=0):
    masks = frame.masks if masks is None else masks
    (one,) = look_at(detections(masks, [0], np.array([0.9], np.float32)), frame, number, 0.3)
    return one


def test_the_best_pair_comes_first():
    assert greedy([(0.6, 0, 0), (0.9, 0, 1), (0.8, 1, 1), (0.5, 1, 0)]) == [(0, 1), (1, 0)]


def test_bytes_are_the_same_each_time(tmp_path):
    digests = []
    for name in ("a", "b"):
        run(tmp_path / name, Planted([moving_shapes(0, 8, SIDE)]), sequences=1, frames=8)
        files = sorted((tmp_path / name).iterdir())
        digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    assert digests[0] == digests[1]
    assert set(digests[0]) == {"film.npz", "objects.csv", "summary.json", "tracks.csv"}


def test_the_film_follows_one_object(tmp_path, one_body):
    run(tmp_path, Planted(one_body(square)), sequences=1, frames=12)
    with np.load(tmp_path / "film.npz", allow_pickle=False) as film:
        assert film["frames"].tolist() == [3, 4, 5, 6, 7, 8]
        assert (film["images"] == film["images"][0]).all(), "the window moves as the object does"
        assert ((film["tracks"] == 0) == film["truth"]).all()


def test_footage_is_tracked_by_its_boxes(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    frames = list(bodies(square, 6))
    for number, frame in enumerate(frames):
        Image.fromarray(frame.image).save(folder / f"{number}.png")
    tracks, objects, means = run(tmp_path / "out", Planted([frames]), source=str(folder), frames=6)
    assert means["iou"] == {"mean": 1, "n": 5}
    assert tracks["track"].nunique() == 1
    assert objects.empty and means["flicker"] == {"mean": None, "n": 0}


def test_nothing_found_is_told_in_empty_tables(tmp_path):
    model = Planted([moving_shapes(0, 4, SIDE)], lambda number, masks, scores: (masks, scores * 0))
    tracks, objects, means = run(tmp_path, model, sequences=1, frames=4)
    assert tracks.empty and means["iou"] == {"mean": None, "n": 0}
    assert means["found"]["mean"] == 0 and len(objects)


def test_a_network_without_masks_is_refused(tmp_path):
    model = SimpleNamespace(image_size=SIDE, predict=lambda images, inference: [SimpleNamespace(masks=None)])
    with pytest.raises(UserError, match="makes none"):
        run(tmp_path, model)


def test_it_stops_when_asked_to(tmp_path):
    split = SimpleNamespace(class_names=list(CLASSES), image_ids=[1], size=lambda image_id: (SIDE, SIDE))
    look = planted_look(Planted([]), split, should_stop=lambda: True)
    with pytest.raises(Stopped):
        stability.measure(tmp_path, look, StabilityConfig())
