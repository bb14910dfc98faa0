"""Probes through networks whose sense of place is planted, and through a real one."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.support.declared import assert_as_declared
from tests.support.looks import planted_look
from tests.support.networks import TINY, tiny_model
from tests.yolact.data.synthetic.test_probe_images import split_of
from yolact.config import FCMaskConfig, InferenceConfig
from yolact.data.coco import CocoSplit
from yolact.data.synthetic.probe_images import places
from yolact.data.synthetic.sprites import Sprite, drawn
from yolact.measures.context import Look, Stopped
from yolact.measures.probes import MEASURE, ProbesConfig
from yolact.measures.probes import measure as probes
from yolact.measures.probes.measure import largest_stride, measure, moved_objects, neighbours, plain_colours, shown, summary
from yolact.measures.probes.translation import total_effects
from yolact.models.layers.padding import set_padding
from yolact.structures import Detections

SIZE, STRIDE = 64, 16
OBJECTS = [drawn(label, label, SIZE) for label in range(2)]
GRID = places(SIZE, max(one.side for one in OBJECTS), STRIDE, 4, 2)
EDGE = float(np.mean(GRID.of_phase(0)[:2]))
"""Between the first two columns of cells, in pixels."""


class Toy:
    """Convolutions that give prototypes at the size of the picture, and a detector that knows where objects are."""

    image_size = SIZE

    def __init__(self, padding="circular", extra=(), coarse=False, k=4):
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Conv2d(3, k, 5, padding=2), nn.ReLU(), nn.Conv2d(k, k, 5, padding=2), nn.ReLU())
        set_padding(self.layers, padding)
        self.extra, self.coarse = extra, coarse

    @torch.inference_mode()
    def maps(self, image):
        maps = self.layers(image[None].float() / 100 - 0.5)
        if self.coarse:  # what a stride does: shifts below it don't come out as shifts
            maps = F.interpolate(maps[:, :, ::STRIDE, ::STRIDE], size=(SIZE, SIZE))
        ramp = (torch.arange(SIZE) / SIZE).expand(1, SIZE, SIZE)
        planted = {
            "x": ramp,
            "y": ramp.mT,
            "left": (ramp * SIZE < EDGE).float(),
            "object": (image != image[:, :1, :1]).any(0)[None],
        }
        return torch.cat([maps[0], *(planted[name].float() for name in self.extra)])

    def coefficients(self, boxes, k):
        """Masks of the "left" and "object" prototypes: each object's own side counts for it, the other against it."""
        used = torch.zeros(len(boxes), k)
        for name, weight in (("left", 20.0), ("object", 20.0)):
            if name in self.extra:
                used[:, self.extra.index(name) - len(self.extra)] = weight
        if "left" in self.extra:
            at_the_right = boxes[:, [0, 2]].mean(1) > EDGE
            used[at_the_right, self.extra.index("left") - len(self.extra)] = -20.0
        return used

    def predict(self, images, inference):
        assert inference.masks
        return [self._found(image) for image in images]

    def _found(self, image):
        boxes, maps = boxes_in(image), self.maps(image)
        masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = True
        scores, labels = torch.full((len(boxes),), 0.9), torch.zeros(len(boxes), dtype=torch.int64)
        return Detections(boxes, scores, labels, masks, self.coefficients(boxes, len(maps)), maps)


def boxes_in(image):
    """The boxes of what is not ground, told apart by empty columns or else by empty rows."""
    there = (image != image[:, :1, :1]).any(0)
    found = []
    for axis in (0, 1):
        line = there.any(axis).int()
        edges = torch.diff(F.pad(line, (1, 1))).nonzero().flatten().tolist()
        found.append(list(zip(edges[::2], edges[1::2], strict=True)))
    return torch.tensor([[x1, y1, x2, y2] for x1, x2 in found[0] for y1, y2 in found[1]], dtype=torch.float32).reshape(-1, 4)


def look(model, split, **changes):
    return Look(model, split, InferenceConfig(), "cpu", **changes)


def probe(model):
    look = planted_look(model, None)
    arrays = moved_objects(look, OBJECTS, GRID)
    arrays |= total_effects(arrays["activation"], GRID.phases)
    arrays |= neighbours(look, OBJECTS, GRID) | plain_colours(look)
    return arrays, summary(arrays, GRID.phases)


def test_a_circular_network_without_strides_does_not_know_where_it_is():
    _, found = probe(Toy())
    assert found["position"] < 1e-9 and found["aliasing"] < 1e-9 and found["content"] == pytest.approx(1)
    assert abs(found["readout"]["x"]) < 1e-3 and abs(found["readout"]["y"]) < 1e-3
    assert found["solid_variation"] < 1e-5 and found["border_reach"] == 0


def test_aliasing_is_not_taken_for_a_sense_of_place():
    _, found = probe(Toy(coarse=True))
    assert found["aliasing"] > 0.05
    assert found["position"] < 1e-9 and abs(found["readout"]["x"]) < 1e-3 and found["solid_variation"] < 1e-5


def test_a_coordinate_is_found_and_read():
    arrays, found = probe(Toy(extra=("x", "y")))
    assert (arrays["position"][:-2] < 1e-9).all() and (arrays["position"][-2:] > 0.9).all()
    assert found["readout"]["x"] > 0.9 and found["readout"]["y"] > 0.9 and found["readout"]["shuffled"] < 0.1
    assert (arrays["solid_variation"][:, -2:] > 0.4).all() and found["border_reach"] > SIZE / 3


@pytest.mark.parametrize(("padding", "seen"), [("zeros", True), ("reflect", False), ("replicate", False)])
def test_zeros_show_a_border_as_deep_as_the_convolutions_reach(padding, seen):
    arrays, found = probe(Toy(padding))
    assert (found["solid_variation"] > 0.01) == seen
    profile = np.nanmean(arrays["border_profile"], axis=(0, 1))
    assert profile[4:] == pytest.approx(0, abs=1e-5)  # two convolutions of 5 x 5 reach 4 pixels
    assert (profile[0] > 0.01) == seen and (0 < found["border_reach"] <= 4) == seen


def test_activations_are_means_over_the_object_in_the_layout_of_the_file():
    arrays, _ = probe(Toy(extra=("x", "y", "object")))
    activation, last = arrays["activation"], len(GRID.centres) - 1
    assert activation.shape == (2, last + 1, last + 1, 7) and activation.dtype == np.float32
    assert np.allclose(activation[..., -1], 1)
    assert np.allclose(activation[:, 2, :, -3] * SIZE, GRID.centres, atol=2)
    assert np.allclose(activation[:, :, 3, -2] * SIZE, GRID.centres, atol=2)


def test_the_mask_of_the_fitting_detection_is_measured():
    arrays, found = probe(Toy(extra=("object",)))
    assert found["mask"]["found"] == 1 and np.allclose(arrays["score"], 0.9)
    filled = np.array([one.mask.mean() for one in OBJECTS])
    assert arrays["mask_iou"] == pytest.approx(np.broadcast_to(filled[:, None, None], arrays["mask_iou"].shape), abs=1e-6)
    assert np.allclose(arrays["mask_over"], 1) and np.allclose(arrays["mask_elsewhere"], 0.5, atol=0.01)  # sigmoid(0)


@pytest.mark.parametrize(("extra", "apart"), [(("object",), 0.0), (("left",), 0.5)])
def test_twins_are_told_apart_by_place_alone(extra, apart):
    arrays = neighbours(planted_look(Toy(extra=extra), None), OBJECTS, GRID)
    pairs, separation = arrays["pair_centres"], arrays["separation"]
    assert separation.shape == (2, len(pairs), 2)
    both_sides = (pairs[:, 0, 0] < EDGE) & (pairs[:, 1, 0] > EDGE)
    same_column = pairs[:, 0, 0] == pairs[:, 1, 0]
    assert both_sides.any() and same_column.any()
    assert separation[:, both_sides] == pytest.approx(apart, abs=0.01)  # 0.5: a mask of nothing is sigmoid(0)
    assert separation[:, same_column] == pytest.approx(0, abs=0.01)
    assert np.abs(pairs[:, 1] - pairs[:, 0]).max(axis=1).min() >= max(one.side for one in OBJECTS)


def test_where_nothing_is_found_masks_count_as_missed():
    class Blind(Toy):
        def _found(self, image):
            maps = self.maps(image)
            nothing = torch.zeros(0)
            return Detections(torch.zeros(0, 4), nothing, nothing.long(), torch.zeros(0, SIZE, SIZE).bool(),
                              torch.zeros(0, len(maps)), maps)  # fmt: skip

    _, found = probe(Blind())
    assert found["mask"] == {"found": 0.0, "iou": 0.0, "position": None, "separation": None}


def test_dead_prototypes_leave_no_number_behind():
    model = Toy()
    nn.init.constant_(model.layers[2].weight, 0)
    nn.init.constant_(model.layers[2].bias, 0)
    arrays, found = probe(model)
    assert found["live"] == 0 and found["position"] is None and found["solid_variation"] is None
    assert found["border_reach"] is None and found["readout"]["x"] == 0
    assert np.isnan(arrays["position"]).all()
    json.dumps(found, allow_nan=False)


def test_what_is_shown_is_bounded(monkeypatch):
    monkeypatch.setattr(probes, "STORED_SIDE", 16)
    toy = Toy(extra=("x", "y"), k=2)
    arrays = shown(
        planted_look(toy, None), {"one": np.zeros((SIZE, SIZE, 3), np.uint8), "two": np.full((SIZE, SIZE, 3), 255, np.uint8)}
    )
    assert arrays["maps"].shape == (2, 4, 16, 16) and arrays["maps"].dtype == np.float16
    largest = np.abs(arrays["maps"].astype(float)).max(axis=(0, 2, 3))
    assert largest[2:].tolist() == [1, 1] and (largest <= 1).all()
    assert arrays["names"].tolist() == ["one", "two"] and arrays["images"].shape == (2, SIZE, SIZE, 3)


@pytest.mark.parametrize(("source", "stride"), [(3, 32), (4, 32), (5, 32), (6, 64), (7, 128)])
def test_the_largest_stride(source, stride):
    assert largest_stride(source) == stride


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> CocoSplit:
    return split_of(tmp_path_factory.mktemp("cut"), [(1, 30, 10, 18, 9, 0), (2, 70, 20, 9, 10, 0)])


def test_a_real_network_leaves_the_files_of_the_contract(split, tmp_path):
    config, events = ProbesConfig(objects=2, phases=2), []
    model = tiny_model(TINY.replace(image_size=96), num_classes=2).eval()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        measure(folder, look(model, split, log=events.append), config)
    found = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert_as_declared(MEASURE, tmp_path / "a")
    assert (found["prototypes"], found["stride"], found["cells"], found["phases"], found["source"]) == (4, 32, 2, 2, "cut")
    with np.load(tmp_path / "a" / "probes.npz", allow_pickle=False) as arrays:
        assert arrays["activation"].shape == (2, 4, 4, 4)
        assert arrays["maps"].shape == (6, 4, 24, 24)
        assert arrays["solid_variation"].shape == (6, 4) and arrays["border_profile"].shape == (6, 4, 12)
        assert set(arrays.files) == {
            "places", "activation", "score", "mask_iou", "mask_over", "mask_elsewhere", "position", "aliasing", "content",
            "separation", "pair_centres", "solid_colours", "solid_variation", "border_profile", "border_distance", "names",
            "images", "maps", "variance",
        }  # fmt: skip
    for file in ("probes.npz", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert events and all(event["event"] == "step" for event in events)


def test_a_network_without_prototypes_says_so_and_nothing_else(split, tmp_path):
    model = tiny_model(TINY.replace(mask_branch=FCMaskConfig(size=4)), num_classes=2).eval()
    measure(tmp_path, look(model, split), ProbesConfig())
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert json.loads((tmp_path / "summary.json").read_text()) == {"prototypes": 0}


def test_it_stops_when_asked_to(split, tmp_path):
    model = tiny_model(TINY.replace(image_size=96), num_classes=2).eval()
    with pytest.raises(Stopped):
        measure(tmp_path, look(model, split, should_stop=lambda: True), ProbesConfig())
    assert not list(tmp_path.iterdir())


def test_sprites_say_their_longer_side():
    assert Sprite(np.zeros((4, 9, 3), np.uint8), np.ones((4, 9), bool), 0, (0, 0, 0)).side == 9
