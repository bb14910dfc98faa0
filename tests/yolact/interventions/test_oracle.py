"""Ground truth in the place of one part: which detections it reaches, and what it leaves."""

from dataclasses import replace

import pytest
import torch

from tests.support.oracles import FC_MASK, INFERENCE, MODEL, boxes, found_with, no_truth, none_found, planted_image, truth_of
from tests.support.planted import planted
from yolact.config import InferenceConfig, OracleConfig
from yolact.data.coco import index
from yolact.errors import UserError
from yolact.evaluation.coco import evaluate
from yolact.evaluation.objects import mask_iou, match_objects, put_back
from yolact.evaluation.results import to_records
from yolact.interventions import prepare
from yolact.interventions.oracle import prepare_oracle
from yolact.ops import rle

PARTS = ("coefficients", "prototypes", "masks", "boxes", "classes")
SQUARE = boxes([0, 0, 10, 10])

MATCHES = [
    ("the same box", SQUARE, SQUARE, [0], [0], [False], [0]),
    ("half of it, exactly at the threshold", boxes([0, 0, 10, 5]), SQUARE, [0], [0], [False], [0]),
    ("less than half", boxes([0, 0, 10, 4.9]), SQUARE, [0], [0], [False], [-1]),
    ("another class", SQUARE, SQUARE, [1], [0], [False], [-1]),
    ("a crowd", SQUARE, SQUARE, [0], [0], [True], [-1]),
    ("the best score takes the object", boxes([0, 0, 10, 8], [0, 0, 10, 10]), SQUARE, [0, 0], [0], [False], [0, -1]),
    ("the second takes what is left", boxes([0, 0, 10, 10], [0, 0, 10, 9]), boxes([0, 0, 10, 10], [0, 0, 10, 8]),
     [0, 0], [0, 0], [False, False], [0, 1]),
    ("the better of two", SQUARE, boxes([0, 0, 10, 8], [0, 0, 10, 10]), [0], [0, 0], [False, False], [1]),
    ("no box at all", boxes([3, 3, 3, 3]), boxes([3, 3, 3, 3]), [0], [0], [False], [-1]),
    ("a box that is no number", boxes([float("nan")] * 4), SQUARE, [0], [0], [False], [-1]),
    ("nothing annotated", SQUARE, boxes(), [0], [], [], [-1]),
    ("nothing found", boxes(), SQUARE, [], [0], [False], []),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "labels", "classes", "crowd", "expected"), [row[1:] for row in MATCHES],
                         ids=[row[0] for row in MATCHES])  # fmt: skip
def test_matching(ours, theirs, labels, classes, crowd, expected):
    found = found_with(torch.rand(2, 16, 16), torch.zeros(len(ours), 2), ours, labels)
    truth = truth_of(torch.zeros(len(theirs), 16, 16), theirs, classes, crowd)
    assert match_objects(found, truth).tolist() == expected


def test_matching_of_any_class():
    found = found_with(torch.rand(2, 16, 16), torch.zeros(1, 2), SQUARE, [1])
    assert match_objects(found, truth_of(torch.zeros(1, 16, 16), SQUARE), same_class=False).tolist() == [0]


def test_selected_detections_can_be_put_back():
    found = found_with(torch.rand(3, 16, 16), torch.randn(3, 3), boxes(*[[0, 0, 9, 9]] * 3))
    where = torch.tensor([True, False, True])
    own = found[where]
    assert len(own) == 2
    changed = put_back(found, where, replace(own, masks=~own.masks, boxes=own.boxes + 1))
    assert torch.equal(changed.masks[0], ~found.masks[0])
    assert torch.equal(changed.masks[1], found.masks[1])
    assert changed.boxes[:, 0].tolist() == [1, 0, 1]
    assert torch.equal(found.boxes[:, 0], torch.zeros(3)), "what was given stays as it was"


def test_mask_iou():
    a = torch.tensor([[[True, True], [False, False]]] * 3)
    b = torch.tensor([[[True, True], [False, False]], [[False, True], [True, False]], [[False, False], [True, True]]])
    assert mask_iou(a, b).tolist() == pytest.approx([1, 1 / 3, 0])
    assert mask_iou(~a & a, ~b & b).tolist() == [0, 0, 0]


def swapped(part, found, truth, model=MODEL, inference=INFERENCE):
    return prepare_oracle(OracleConfig(part=part), model)(found, truth, 7, inference)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("nothing", ["found", "annotated", "either", "but a crowd"])
def test_images_without_detections_or_objects_stay_as_they_are(part, nothing):
    model = planted(0, images=1)
    some, truth = planted_image(model, 0)
    found = none_found() if nothing in ("found", "either") else some
    if nothing == "but a crowd":
        truth = replace(truth, crowd=torch.ones(len(truth), dtype=torch.bool))
    elif nothing != "found":
        truth = no_truth()
    got = swapped(part, found, truth)
    for name in ("boxes", "scores", "labels", "masks", "coefficients"):
        assert torch.equal(getattr(got, name), getattr(found, name)), name


@pytest.mark.parametrize("seed", range(3))
def test_best_coefficients_find_masks_in_the_span_of_the_prototypes(seed):
    model = planted(seed, images=6)
    for image in range(6):
        found, truth = planted_image(model, image)
        got = swapped("coefficients", found, truth)
        whole = truth.masks.bool().flatten(1).any(dim=1)  # a planted mask may be empty
        assert mask_iou(got.masks, truth.masks.bool())[whole].min() == 1
        assert got.coefficients.abs().max() <= 1 + 1e-6


def test_each_part_replaces_that_part_alone():
    model = planted(3, images=1)
    found, truth = planted_image(model, 0)
    shifted = replace(truth, boxes=truth.boxes + torch.tensor([0.0, 0.0, 0.5, 0.5]))
    other = replace(truth, labels=truth.labels + 1)
    masks, edges, classes = swapped("masks", found, truth), swapped("boxes", found, shifted), swapped("classes", found, other)
    assert torch.equal(masks.masks, truth.masks.bool())
    assert torch.equal(masks.boxes, found.boxes)
    assert torch.equal(edges.boxes, shifted.boxes)
    assert torch.equal(classes.labels, truth.labels + 1)
    assert torch.equal(classes.masks, found.masks)
    assert torch.equal(classes.boxes, found.boxes)


def test_detections_that_find_nothing_keep_their_masks():
    model = planted(4, images=1)
    found, truth = planted_image(model, 0)
    labels = found.labels.clone()
    labels[0] += 1
    strayed = replace(found, labels=labels)
    for part in ("coefficients", "prototypes", "masks", "boxes"):
        got = swapped(part, strayed, truth)
        assert torch.equal(got.masks[0], found.masks[0]), part
        assert torch.equal(got.boxes[0], found.boxes[0]), part


@pytest.mark.parametrize("crop", [True, False])
def test_prototypes_that_span_everything_are_held_by_the_box(crop):
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[0, 8:24, 4:28] = True
    box = boxes([4, 8, 20, 24])
    inference = InferenceConfig(crop=crop, crop_padding=0)
    found = found_with(torch.rand(2, 32, 32), torch.zeros(1, 2), box, inference=inference)
    got = swapped("prototypes", found, truth_of(mask, boxes([4, 8, 28, 24])), inference=inference)
    expected = mask.clone()
    expected[:, :, 20:] &= not crop
    assert torch.equal(got.masks, expected)
    whole = swapped("masks", found, truth_of(mask, boxes([4, 8, 28, 24])), inference=inference)
    assert torch.equal(whole.masks, mask), "ground-truth masks are not cropped"


@pytest.mark.parametrize("part", ["masks", "classes"])
def test_masks_and_classes_need_no_prototypes(part):
    model = planted(5, images=1)
    found, truth = planted_image(model, 0)
    bare = replace(found, prototypes=None, coefficients=None)
    got = swapped(part, bare, truth, FC_MASK)
    assert got.prototypes is None
    assert torch.equal(got.masks, truth.masks.bool() if part == "masks" else found.masks)


@pytest.mark.parametrize("part", ["coefficients", "prototypes", "boxes"])
def test_a_network_without_prototypes_is_refused(part):
    with pytest.raises(UserError, match=f"part={part}.*prototypes"):
        prepare(OracleConfig(part=part), FC_MASK, "cpu", pytest.fail)


@pytest.mark.parametrize("part", [part for part in PARTS if part != "classes"])
def test_detections_without_masks_are_refused(part):
    model = planted(5, images=1)
    found, truth = planted_image(model, 0)
    with pytest.raises(UserError, match=r"set inference\.masks to true"):
        swapped(part, replace(found, masks=None), truth)


@pytest.mark.parametrize("part", ["coefficients", "masks"])
def test_average_precision_is_one_where_the_other_parts_are_right(part):
    images = [planted_image(planted(seed, images=1), 0) for seed in range(6)]
    images = [pair for pair in images if pair[1].masks.flatten(1).any(dim=1).all()]  # COCO counts empty masks as missed
    assert len(images) > 1
    assert average(images, None, "segm") < 0.9
    assert average(images, part, "segm") == pytest.approx(1)
    assert average(images, part, "bbox") == pytest.approx(1)


def average(images, part, iou_type):
    """AP of hand-made detections, with a part replaced or as they are."""
    annotations, records = [], []
    for number, (found, truth) in enumerate(images, start=1):
        records += to_records(found if part is None else swapped(part, found, truth), number, [1, 2, 3])
        for box, label, mask in zip(truth.boxes.tolist(), truth.labels.tolist(), truth.masks.numpy(), strict=True):
            sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, "bbox": sides,
                                "area": int(mask.sum()), "iscrowd": 0,
                                "segmentation": rle.encode(mask[None].astype(bool))[0]})  # fmt: skip
    sizes = [{"id": n + 1, "height": 32, "width": 32, "file_name": f"{n}.png"} for n in range(len(images))]
    categories = [{"id": number, "name": str(number)} for number in (1, 2, 3)]
    data = index({"images": sizes, "annotations": annotations, "categories": categories})
    return evaluate(data, records, iou_type).metrics["AP"]


def test_nothing_that_is_given_changes():
    model = planted(8, images=1)
    found, truth = planted_image(model, 0)
    before = {name: part.clone() for name, part in vars(found).items() if part is not None}
    for part in PARTS:
        swapped(part, found, truth)
    assert all(torch.equal(part, vars(found)[name]) for name, part in before.items())
