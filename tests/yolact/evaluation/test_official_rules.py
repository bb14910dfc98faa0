"""The official code's rules of evaluation against COCO's, each on data where that rule alone makes the difference."""

from __future__ import annotations

import pytest

from yolact.data.coco import index
from yolact.evaluation.coco import evaluate, match_arrays


def annotation(image=1, category=1, box=(10, 10, 40, 40), crowd=0, number=1):
    _, _, w, h = box
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(box), "area": w * h, "iscrowd": crowd}


def truth(*annotations):
    images = [{"id": i, "width": 100, "height": 100, "file_name": f"{i}.png"} for i in (1, 2)]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    return index({"images": images, "categories": categories, "annotations": list(annotations)})


def found(image=1, category=1, box=(10, 10, 40, 40), score=0.9):
    return {"image_id": image, "category_id": category, "bbox": list(box), "score": score}


# each row: ground truth, detections, AP50 of boxes by COCO's rules and by the official ones
CASES = {
    "a perfect detection": ([annotation()], [found()], 1.0, 1.0),
    "a false positive on an image without annotations": ([annotation()], [found(2, score=0.95), found()], 0.5, 1.0),
    "an object below 4/550 of the image that nobody finds": (
        [annotation(), annotation(box=(70, 70, 0.5, 9), number=2)], [found()], 51 / 101, 1.0),
    "an IoU of exactly one half": ([annotation(box=(0, 0, 10, 20))], [found(box=(0, 0, 10, 10))], 1.0, 0.0),
    "a class that is found but isn't there": ([annotation()], [found(), found(category=2)], 1.0, 0.5),
    "such a class found on an image without annotations": ([annotation()], [found(), found(2, category=2)], 1.0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_rule(case):
    annotations, detections, coco, official = CASES[case]
    assert evaluate(truth(*annotations), detections, "bbox").metrics["AP50"] == pytest.approx(coco)
    assert evaluate(truth(*annotations), detections, "bbox", rules="official").metrics["AP50"] == pytest.approx(official)


def test_official_rules_have_no_sizes_and_keep_the_nominal_thresholds():
    evaluation = evaluate(truth(annotation()), [found()], "bbox", rules="official")
    assert {evaluation.metrics[name] for name in ("APs", "APm", "APl", "ARs", "ARm", "ARl")} == {-1.0}
    assert evaluation.iou_thresholds.tolist() == evaluate(truth(annotation()), [found()], "bbox").iou_thresholds.tolist()
    assert match_arrays([evaluation])["image_ids"].tolist() == [1]


def test_chosen_images_stay_chosen():
    evaluation = evaluate(truth(annotation(), annotation(2, number=2)), [found()], "bbox", image_ids=[2], rules="official")
    assert evaluation.image_ids.tolist() == [2]
    assert evaluation.metrics["AP50"] == 0
