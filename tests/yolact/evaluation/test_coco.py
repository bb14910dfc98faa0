"""COCO evaluation: the published numbers, the stored matches, and every input that must not reach pycocotools."""

import copy
import csv
import io
import json
import re

import numpy as np
import pytest

from tests.support.paths import SHARED
from yolact.data.coco import index
from yolact.errors import UserError
from yolact.evaluation import official_rules
from yolact.evaluation.boundary import boundary_ap
from yolact.evaluation.coco import METRICS, evaluate, evaluate_to
from yolact.evaluation.inputs import EvaluationError, iou_types, prepare_detections, prepare_ground_truth
from yolact.evaluation.results import read_records
from yolact.evaluation.tide import error_budget, find
from yolact.ops import rle

REFERENCES = SHARED / "data" / "evaluator_refs"
needs_references = pytest.mark.skipif(not REFERENCES.is_dir(), reason="../shared/data/evaluator_refs is not there")
SIDE = 200


def published(iou_type):
    """The 12 numbers in the text that the COCO API publishes beside its example results."""
    text = (REFERENCES / "val2014_fake_eval_res.txt").read_text()
    section = text.split(f"type={iou_type}")[1].split("type=")[0]
    return [float(value) for value in re.findall(r"= (\d\.\d{3})", section)]


@needs_references
@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_published_numbers(iou_type):
    records = read_records(REFERENCES / f"instances_val2014_fake{iou_type}100_results.json")
    found = evaluate(REFERENCES / "instances_val2014_100.json", records, iou_type)
    assert [round(found.metrics[name], 3) for name in METRICS] == published(iou_type)


@needs_references
def test_boxes_in_the_records_do_not_move_mask_ap_between_sizes():
    records = read_records(REFERENCES / "instances_val2014_fakesegm100_results.json")
    with_boxes = [{**record, "bbox": [0.0, 0.0, 1.0, 1.0]} for record in records]
    found = evaluate(REFERENCES / "instances_val2014_100.json", with_boxes, "segm")
    assert [round(found.metrics[name], 3) for name in METRICS] == published("segm")


def square(x, y, side):
    mask = np.zeros((1, SIDE, SIDE), bool)
    mask[0, y : y + side, x : x + side] = True
    return rle.encode(mask)[0]


def instance(image_id, category_id, x, y, side, **fields):
    bbox = [float(x), float(y), float(side), float(side)]
    record = {"image_id": image_id, "category_id": category_id, "bbox": bbox, "segmentation": square(x, y, side)}
    return record | fields


def dataset():
    """Three images (the last without objects), three categories (the last without objects), every size, and a crowd.

    The first annotation has id 0, which pycocotools by itself can never match.
    """
    truth = [
        instance(1, 5, 10, 10, 20),
        instance(1, 5, 60, 60, 50),
        instance(1, 9, 5, 90, 110),
        instance(2, 9, 20, 20, 60),
        instance(2, 9, 90, 90, 100, iscrowd=1),
    ]
    return {
        "images": [{"id": image_id, "height": SIDE, "width": SIDE} for image_id in (1, 2, 30)],
        "annotations": [{"area": x["bbox"][2] ** 2, "iscrowd": 0, **x, "id": number} for number, x in enumerate(truth)],
        "categories": [{"id": 5, "name": "disc"}, {"id": 9, "name": "star, large"}, {"id": 14, "name": "absent"}],
    }


def perfect():
    kept = [each for each in dataset()["annotations"] if not each["iscrowd"]]
    fields = ("image_id", "category_id", "bbox", "segmentation")
    return [{**{key: each[key] for key in fields}, "score": 0.9 - number / 10} for number, each in enumerate(kept)]


def run(records, iou_type="segm", data=None, **options):
    return evaluate(index(data or dataset()), records, iou_type, **options)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_perfect_detections_score_one(iou_type):
    metrics = run(perfect(), iou_type).metrics
    assert {name: round(metrics[name], 9) for name in METRICS if name != "AR1"} == dict.fromkeys(set(METRICS) - {"AR1"}, 1.0)
    assert metrics["AR1"] == pytest.approx(0.75)  # one of two discs, both stars


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_no_detections_score_zero(iou_type):
    found = run([], iou_type)
    assert set(found.metrics.values()) == {0.0}
    assert found.matches["score"].shape == (0,)
    assert found.matches["gt_ignored"].shape == (4, 5)


def test_no_ground_truth_scores_minus_one():
    found = run(perfect(), data={**dataset(), "annotations": []})
    assert set(found.metrics.values()) == {-1.0}


def test_a_detection_on_a_crowd_counts_neither_way():
    on_crowd = instance(2, 9, 95, 95, 20, score=0.99)
    beside = instance(2, 9, 0, 0, 15, score=0.99)
    assert run([*perfect(), on_crowd]).metrics["AP"] == pytest.approx(1)
    assert run([*perfect(), beside]).metrics["AP"] < 0.95


def test_missing_area_and_crowd_flag_are_filled_in():
    data = dataset()
    for annotation in data["annotations"]:
        del annotation["area"]
        if not annotation["iscrowd"]:
            del annotation["iscrowd"]
    for iou_type in ("segm", "bbox"):
        assert run(perfect(), iou_type, data).metrics == run(perfect(), iou_type).metrics


def test_polygons_and_uncompressed_rle_are_ground_truth_too():
    data = dataset()
    data["annotations"][0]["segmentation"] = [[10, 10, 30, 10, 30, 30, 10, 30]]
    segmentation = data["annotations"][1]["segmentation"]
    segmentation["counts"] = rle.run_lengths(segmentation["counts"]).tolist()
    assert run(perfect(), data=data).metrics == run(perfect()).metrics


def test_image_ids_choose_what_is_evaluated():
    found = run(perfect()[:3], image_ids=[1, 30])
    assert found.image_ids.tolist() == [1, 30]
    assert found.metrics["AP"] == pytest.approx(1)
    with pytest.raises(EvaluationError, match="image_ids: 4 is not among"):
        run([], image_ids=[1, 4])


RESCORED = [0.2, 0.8, 0.5, 0.6, 0.7]


@pytest.mark.parametrize(("iou_type", "rank_by"), [("segm", "mask_score"), ("bbox", "score")])
def test_masks_are_ranked_by_their_own_score(iou_type, rank_by):
    """The last record is wrong: first of its class by mask_score, last by score."""
    wrong = instance(2, 9, 0, 0, 15, score=0.1)
    records = [{**each, "mask_score": own} for each, own in zip([*perfect(), wrong], RESCORED, strict=True)]
    ranked = [{**{key: part for key, part in each.items() if key != "mask_score"}, "score": each[rank_by]} for each in records]
    found, expected = run(records, iou_type), run(ranked, iou_type)
    assert found.metrics == expected.metrics
    assert found.matches["score"].tolist() == expected.matches["score"].tolist()
    assert (found.metrics["AP"] < 0.9) == (rank_by == "mask_score")
    truth = prepare_ground_truth(dataset(), iou_type)
    pairs = [prepare_detections(dataset(), each, iou_type) for each in (records, ranked)]
    budgets = [error_budget(find(truth, each, iou_type)) for each in pairs]
    assert budgets[0] == budgets[1]
    assert budgets[0]["AP50"] == pytest.approx(found.metrics["AP50"])
    if iou_type == "segm":
        assert boundary_ap(truth, pairs[0]) == boundary_ap(truth, pairs[1])


@pytest.mark.parametrize("images", [20, 200])
def test_restricting_to_annotated_images_reads_them_once(monkeypatch, images):
    """Not once per image that was asked for."""
    reads = []

    class Counted(list):
        def __iter__(self):
            reads.append(1)
            return super().__iter__()

    data = dataset()
    data["images"] += [{"id": 100 + number, "height": SIDE, "width": SIDE} for number in range(images)]
    restrict = official_rules.restrict
    monkeypatch.setattr(official_rules, "restrict", lambda each: (restrict(each)[0], Counted(restrict(each)[1])))
    found = run(perfect(), data=data, image_ids=[image["id"] for image in data["images"]], rules="official")
    assert found.image_ids.tolist() == [1, 2]
    assert len(reads) == 1


def test_the_input_is_not_changed():
    data, records = dataset(), perfect()
    before = copy.deepcopy((data, records))
    run(records, data=data)
    assert (data, records) == before


def test_it_prints_nothing(capsys):
    run(perfect())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "iou_type", "message"),
    [
        ({"image_id": 4}, "segm", "record 1: unknown image_id 4; add"),
        ({"image_id": "1"}, "segm", "record 1: unknown image_id '1'"),
        ({"image_id": [1]}, "segm", r"record 1: unknown image_id \[1\]"),
        ({"category_id": 1}, "bbox", "record 1: unknown category_id 1; add"),
        ({"score": float("nan")}, "segm", "record 1: score must be a finite number, got nan"),
        ({"score": "0.5"}, "bbox", "record 1: score must be a finite number"),
        ({"score": None}, "bbox", "record 1: score must be a finite number"),
        ({"mask_score": 0.5}, "segm", "record 0 has no mask_score but others do: give it to all or to none"),
        ({"bbox": [1, 2, 3]}, "bbox", r"record 1: bbox is \[1, 2, 3\]; write four"),
        ({"bbox": [1, 2, -3, 4]}, "bbox", "record 1: bbox .* has a negative side"),
        ({"bbox": [1, 2, float("inf"), 4]}, "bbox", "record 1: bbox is .*four finite numbers"),
        ({"bbox": [1, 2, 1e200, 1e200]}, "bbox", "record 1: bbox is .*all within 1e[+]15"),
        (
            {"segmentation": {"size": [SIDE, SIDE], "counts": "d0"}},
            "segm",
            "record 1: .* counts for 20 pixels",
        ),
        ({"segmentation": [[1, 2, 3, 4, 5, 6]]}, "segm", "record 1: the segmentation is not compressed RLE"),
    ],
)
def test_a_wrong_record_is_named(change, iou_type, message):
    records = perfect()
    records[1] |= change
    with pytest.raises(EvaluationError, match=message):
        run(records, iou_type)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 4}, "annotation 1: unknown image_id 4"),
        ({"segmentation": None}, "annotation 1: the segmentation is neither"),
        ({"segmentation": []}, "annotation 1: the segmentation is empty"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 1: the segmentation has a polygon of 4 numbers"),
        ({"segmentation": {"size": [SIDE, SIDE], "counts": [5]}}, "annotation 1: the segmentation has counts for 5"),
        ({"area": -1}, "annotation 1: area is -1"),
        ({"area": "big"}, "annotation 1: area is 'big'"),
    ],
)
def test_a_wrong_annotation_is_named(change, message):
    data = dataset()
    data["annotations"][1] |= change
    with pytest.raises(EvaluationError, match=message):
        run(perfect(), data=data)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), ("segm", "bbox")),
        (("bbox",), ("bbox",)),
        (("segmentation",), ("segm",)),
        (("bbox", "segmentation"), ("segm", "bbox")),
    ],
)
def test_iou_types_follow_the_records(fields, expected):
    assert iou_types([dict.fromkeys(fields)] if fields else []) == expected


def test_mixed_records_are_refused():
    with pytest.raises(EvaluationError, match="record 1 has no bbox"):
        iou_types([{"bbox": 0, "segmentation": 0}, {"segmentation": 0}])
    with pytest.raises(EvaluationError, match="record 0 has neither"):
        iou_types([{}])


def noisy():
    """Perfect detections, moved ones, false ones and ties: enough to give every curve a shape."""
    generator = np.random.default_rng(0)
    records = perfect()
    for _ in range(40):
        place, side = generator.integers(0, 120, 2), int(generator.integers(8, 70))
        image_id, category_id = int(generator.choice([1, 2, 30])), int(generator.choice([5, 9, 14]))
        score = float(generator.integers(1, 12)) / 12
        records.append(instance(image_id, category_id, int(place[0]), int(place[1]), side, score=score))
    return [*records, instance(1, 5, 12, 11, 20, score=0.99), instance(2, 9, 25, 18, 60, score=0.95)]


def write_inputs(folder, records):
    (folder / "truth.json").write_text(json.dumps(dataset()))
    (folder / "detections.json").write_text(json.dumps(records))
    return folder / "truth.json", folder / "detections.json"


def test_the_four_files_have_the_contracts_form(tmp_path):
    returned = evaluate_to(tmp_path / "a", *write_inputs(tmp_path, noisy()))
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics == {evaluation.iou_type: evaluation.metrics for evaluation in returned}
    assert list(metrics) == ["segm", "bbox"] and tuple(metrics["segm"]) == METRICS

    rows = list(csv.DictReader(io.StringIO((tmp_path / "a" / "per_class.csv").read_text())))
    assert list(rows[0]) == ["iou_type", "category_id", "name", "instances", "AP", "AP50", "AP75"]
    segm = [row for row in rows if row["iou_type"] == "segm"]
    assert [(row["name"], row["instances"]) for row in segm] == [("disc", "2"), ("star, large", "2"), ("absent", "0")]
    assert segm[2]["AP"] == segm[2]["AP50"] == segm[2]["AP75"] == ""
    assert np.mean([float(row["AP"]) for row in segm[:2]]) == pytest.approx(metrics["segm"]["AP"])

    curve = json.loads((tmp_path / "a" / "curves.json").read_text())["segm"]
    assert len(curve["recall"]) == len(curve["precision"]["0.50"]) == len(curve["precision"]["0.75"]) == 101
    assert list(curve["ap_per_iou"]) == [f"{iou / 100:.2f}" for iou in range(50, 100, 5)]
    assert np.mean(list(curve["ap_per_iou"].values())) == pytest.approx(metrics["segm"]["AP"])
    assert np.mean(curve["precision"]["0.50"]) == pytest.approx(metrics["segm"]["AP50"])


def test_the_same_input_gives_the_same_bytes(tmp_path):
    inputs = write_inputs(tmp_path, noisy())
    for name in "ab":
        evaluate_to(tmp_path / name, *inputs)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def accumulate(arrays, iou_type, area=0, cap=100):
    """COCO's AP and AR from stored matches, written from the definition: the check that they suffice."""
    get = lambda name: arrays[f"{iou_type}_{name}"]  # noqa: E731
    precisions, recalls = [], []
    for k in range(len(arrays["category_ids"])):
        positives = np.sum((get("gt_category") == k) & ~get("gt_ignored")[area])
        if not positives:
            continue
        chosen = np.flatnonzero(get("category") == k)
        images = get("image")[chosen]
        rank = np.array([np.sum(images[:place] == images[place]) for place in range(len(chosen))], dtype=int)
        chosen = chosen[rank < cap]
        chosen = chosen[np.argsort(-get("score")[chosen], kind="stable")]
        for t in range(len(arrays["iou_thresholds"])):
            counted = ~get("ignored")[area, t, chosen]
            hits = get("matched")[area, t, chosen][counted]
            true = np.cumsum(hits)
            envelope = np.maximum.accumulate((true / np.arange(1, len(hits) + 1))[::-1])[::-1]
            places = np.searchsorted(true / positives, arrays["recall_thresholds"])
            precisions.append(np.append(envelope, 0)[np.minimum(places, len(envelope))].mean())
            recalls.append(true[-1] / positives if len(true) else 0)
    return (np.mean(precisions), np.mean(recalls)) if precisions else (-1, -1)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_stored_matches_accumulate_to_cocoevals_numbers(tmp_path, iou_type):
    evaluate_to(tmp_path, *write_inputs(tmp_path, noisy()))
    metrics = json.loads((tmp_path / "metrics.json").read_text())[iou_type]
    with np.load(tmp_path / "matches.npz", allow_pickle=False) as file:
        arrays = dict(file)
    for area, (ap, ar) in enumerate([("AP", "AR100"), ("APs", "ARs"), ("APm", "ARm"), ("APl", "ARl")]):
        assert accumulate(arrays, iou_type, area) == pytest.approx((metrics[ap], metrics[ar])), ap
    assert accumulate(arrays, iou_type, cap=1)[1] == pytest.approx(metrics["AR1"])
    assert 0 < metrics["AP"] < 1


def test_matches_have_the_contracts_shapes_and_order(tmp_path):
    evaluate_to(tmp_path, *write_inputs(tmp_path, noisy()))
    with np.load(tmp_path / "matches.npz", allow_pickle=False) as file:
        arrays = dict(file)
    count = len(noisy())
    assert arrays["segm_matched"].shape == arrays["segm_ignored"].shape == (4, 10, count)
    assert arrays["segm_score"].dtype == np.float64 and arrays["segm_matched"].dtype == bool
    order = np.lexsort([-arrays["segm_score"], arrays["segm_image"], arrays["segm_category"]])
    assert np.array_equal(order, np.arange(count))
    # By category, image and annotation: two discs, then the large star, the medium star and the crowd.
    sizes = [[0, 0, 0, 0, 1], [0, 1, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 0, 1, 1]]
    assert arrays["segm_gt_ignored"].astype(int).tolist() == sizes
    assert arrays["category_ids"][arrays["segm_gt_category"]].tolist() == [5, 5, 9, 9, 9]
    assert arrays["image_ids"][arrays["segm_gt_image"]].tolist() == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "missing"), ("[", "not valid JSON"), ("[]", "no list 'images'"), ('{"images": []}', "no list 'annotations'")],
)
def test_broken_annotation_files_are_named(tmp_path, content, message):
    _, detections = write_inputs(tmp_path, perfect())
    if content is None:
        (tmp_path / "truth.json").unlink()
    else:
        (tmp_path / "truth.json").write_text(content)
    with pytest.raises(UserError, match=f"truth.json.*{message}"):
        evaluate_to(tmp_path / "out", tmp_path / "truth.json", detections)
    assert not (tmp_path / "out").exists()
