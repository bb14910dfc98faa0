"""TIDE's error types: one error of each kind, the rules between them, COCO's AP, and the authors' own numbers."""

import json
from dataclasses import astuple, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_matching
from tests.support.error_scenes import dataset, random_set, thing
from tests.support.paths import SHARED
from yolact.data.coco import index
from yolact.evaluation.coco import evaluate
from yolact.evaluation.inputs import prepare_detections, prepare_ground_truth
from yolact.evaluation.tide import FIXES, TYPES, Findings, error_budget, find

REFERENCES = SHARED / "data" / "evaluator_refs"
KINDS = ("bbox", "segm")
both_kinds = pytest.mark.parametrize("kind", KINDS)

A, B, C = (1, 1, 2, 2, 20, 20), (1, 2, 34, 34, 20, 20), (1, 1, 40, 2, 20, 20)  # image, category, x, y, width, height


def moved(place, category=None, x=0, y=0, **fields):
    image_id, own, left, top, width, height = place
    return thing(image_id, category or own, left + x, top + y, width, height, **fields)


def found(**scores):
    """Perfect detections of A, B, C with these scores."""
    places = {"a": A, "b": B, "c": C}
    return [thing(*places[name], score=score) for name, score in scores.items()]


def budget(records, kind, truth=None):
    data = dataset([thing(*A), thing(*B), thing(*C)]) if truth is None else truth
    return error_budget(find(prepare_ground_truth(data, kind), prepare_detections(data, records, kind), kind))


ALL = {"a": 0.9, "b": 0.8, "c": 0.7}
NO_B = {"a": 0.9, "c": 0.7}
ONE_OF_EACH = [  # name, records, count, delta; class 1 has A and C, class 2 has B, and AP50 is the mean over both
    ("nothing wrong", found(**ALL), {}, {}),
    ("Cls", [*found(**NO_B), moved(B, category=1, score=0.5)], {"Cls": 1, "FP": 1, "FN": 1}, {"Cls": 0.5, "FN": 0.5}),
    ("Loc", [*found(**NO_B), moved(B, y=10, score=0.5)], {"Loc": 1, "FP": 1, "FN": 1}, {"Loc": 0.5}),
    ("Both", [*found(**ALL), moved(B, category=1, y=10, score=0.95)], {"Both": 1, "FP": 1}, {"Both": 1 / 6, "FP": 1 / 6}),
    # found at ranks 1 and 3: precision 1 for recalls to .5, then 2/3
    ("Dupe", [*found(**ALL), moved(A, x=2, score=0.75)], {"Dupe": 1, "FP": 1}, {"Dupe": 25 / 303, "FP": 25 / 303}),
    ("Bkg", [*found(**ALL), moved(A, y=40, score=0.95)], {"Bkg": 1, "FP": 1}, {"Bkg": 1 / 6, "FP": 1 / 6}),
    ("Miss", found(**NO_B), {"Miss": 1, "FN": 1}, {"Miss": 0.5, "FN": 0.5}),
]  # fmt: skip


@both_kinds
@pytest.mark.parametrize(("records", "count", "delta"), [row[1:] for row in ONE_OF_EACH], ids=[row[0] for row in ONE_OF_EACH])
def test_one_error_of_each_type(records, count, delta, kind):
    result = budget(records, kind)
    assert result["count"] == {fix: count.get(fix, 0) for fix in FIXES}
    assert result["delta"] == pytest.approx({fix: delta.get(fix, 0) for fix in FIXES})
    assert result["AP50"] == pytest.approx(1 - max([0, *(delta.get(name, 0) for name in TYPES)]))


BETWEEN = [  # name, records beside those of A and C, count, delta of Cls and Loc; nothing else finds B
    ("two aim at one: the best is mended, the other dropped",
     [moved(B, y=10, score=0.6), moved(B, x=10, score=0.5)], {"Loc": 2}, (0, 0.5)),
    ("a wrong class outranks a bad place: placing better mends nothing",
     [moved(B, category=1, score=0.6), moved(B, y=10, score=0.5)], {"Cls": 1, "Loc": 1}, (0.5, 0)),
    ("a bad place outranks a wrong class",
     [moved(B, category=1, score=0.5), moved(B, y=10, score=0.6)], {"Cls": 1, "Loc": 1}, (0, 0.5)),
    ("an instance that is found can't be found again",
     [moved(B, score=0.6), moved(B, category=1, score=0.95)], {"Cls": 1}, (1 / 6, 0)),
    ("IoU .50 is a match; a second one is a duplicate",
     [moved(B, score=0.6), thing(1, 2, 34, 34, 10, 20, score=0.5)], {"Dupe": 1}, (0, 0)),
    ("IoU .10 is a bad place, of another class it is background",
     [moved(B, score=0.6), thing(1, 2, 34, 34, 4, 10, score=0.5), thing(1, 1, 34, 34, 4, 10, score=0.4)],
     {"Loc": 1, "Bkg": 1}, (0, 0)),
]  # fmt: skip


@both_kinds
@pytest.mark.parametrize(("records", "count", "gains"), [row[1:] for row in BETWEEN], ids=[row[0] for row in BETWEEN])
def test_what_several_errors_make_of_each_other(records, count, gains, kind):
    result = budget([*found(**NO_B), *records], kind)
    assert {name: result["count"][name] for name in TYPES} == {name: count.get(name, 0) for name in TYPES}
    assert (result["delta"]["Cls"], result["delta"]["Loc"]) == pytest.approx(gains)


@both_kinds
def test_no_detections_miss_everything(kind):
    result = budget([], kind)
    assert result["AP50"] == 0
    assert result["delta"] == {fix: 1.0 if fix in ("Miss", "FN") else 0.0 for fix in FIXES}
    assert result["count"] == {fix: 3 if fix in ("Miss", "FN") else 0 for fix in FIXES}


@both_kinds
def test_a_class_of_false_positives_alone_gains_nothing_from_its_missed_instances(kind):
    result = budget([*found(**NO_B), thing(1, 2, 2, 40, 8, 8, score=0.5)], kind)
    assert (result["count"]["Miss"], result["delta"]["Miss"]) == (1, 0)


@both_kinds
def test_without_ground_truth_nothing_is_defined(kind):
    result = budget(found(a=0.9), kind, dataset([]))
    assert result["AP50"] == -1
    assert set(result["delta"].values()) == {None}
    assert result["count"]["Bkg"] == 1


@both_kinds
def test_a_class_without_ground_truth_is_out_of_the_mean(kind):
    """Where tidecv 1.0.1 says AP50 66.7, and that the detection costs 33.3."""
    data = dataset([thing(*A), thing(*B), thing(*C)], categories=(1, 2, 3))
    result = budget([*found(**ALL), moved(A, category=3, y=40, score=0.99)], kind, data)
    assert result["AP50"] == 1
    assert result["count"]["Bkg"] == 1
    assert set(result["delta"].values()) == {0.0}


@both_kinds
def test_what_lies_on_a_crowd_is_no_error(kind):
    data = dataset([thing(*A), thing(*B), thing(1, 1, 36, 0, 28, 28, iscrowd=1)])
    result = budget([*found(a=0.9, b=0.8), moved(C, score=0.99)], kind, data)
    assert result["AP50"] == pytest.approx(1)
    assert not any(result["count"].values())


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    crowds=st.sampled_from([0.0, 0.3]),
    absent=st.booleans(),
    decimals=st.sampled_from([1, 6]),
    kind=st.sampled_from(KINDS),
)
def test_ap_is_coco_s_and_no_fix_makes_it_worse(seed, crowds, absent, decimals, kind):
    data, records = random_set(seed, crowds, absent, decimals, images=4)
    result = budget(records, kind, data)
    evaluation = evaluate(index(data), records, kind)
    assert result["AP50"] == pytest.approx(evaluation.metrics["AP50"], abs=1e-12)
    counted = ~evaluation.matches["ignored"][0, 0]
    assert result["count"]["FP"] == (counted & ~evaluation.matches["matched"][0, 0]).sum()
    assert result["count"]["FP"] == sum(result["count"][name] for name in TYPES if name != "Miss")
    assert result["count"]["FN"] >= result["count"]["Miss"]
    if result["AP50"] >= 0:
        assert min(result["delta"].values()) >= -1e-12
        assert result["delta"]["FN"] >= result["delta"]["Miss"] - 1e-12


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    crowds=st.sampled_from([0.0, 0.3]),
    absent=st.booleans(),
    decimals=st.sampled_from([1, 6]),
    images=st.sampled_from([1, 5]),
    kind=st.sampled_from(KINDS),
)
def test_errors_are_those_on_the_matches_of_pycocotools(seed, crowds, absent, decimals, images, kind):
    data, records = random_set(seed, crowds, absent, decimals, images)
    truth, detections = prepare_ground_truth(data, kind), prepare_detections(data, records, kind)
    result = astuple(find(truth, detections, kind))
    for field, mine, theirs in zip(fields(Findings), result, slow_matching.find(truth, detections, kind), strict=True):
        assert mine.dtype == theirs.dtype and mine.tolist() == theirs.tolist(), field.name


GOLDEN = {  # tidecv 1.0.1 (TIDE.evaluate, fix_main_errors, fix_special_errors, count_errors) on random_set(seed)
    (1, "bbox"): (0.215218188, {"Cls": 0.049185395, "Loc": 0.226622662, "Both": 0.015951595, "Dupe": 0.012996738,
                                "Bkg": 0.005247093, "Miss": 0.154623081, "FP": 0.157719105, "FN": 0.372748703},
                  (2, 12, 2, 4, 4, 11)),
    (1, "segm"): (0.181656371, {"Cls": 0.04952389, "Loc": 0.267938589, "Both": 0.015951595, "Dupe": 0.006172314,
                                "Bkg": 0.00941656, "Miss": 0.109611657, "FP": 0.191280923, "FN": 0.289402677},
                  (2, 14, 2, 2, 4, 11)),
    (2, "bbox"): (0.617517466, {"Cls": 0.038248111, "Loc": 0.075001786, "Both": 0.0, "Dupe": 0.014691909,
                                "Bkg": 0.003046458, "Miss": 0.140533339, "FP": 0.141558442, "FN": 0.192867144},
                  (3, 14, 4, 4, 2, 4)),
    (2, "segm"): (0.538729587, {"Cls": 0.037314684, "Loc": 0.145994599, "Both": 0.0, "Dupe": 0.014691909,
                                "Bkg": 0.010841524, "Miss": 0.125111797, "FP": 0.1741417, "FN": 0.221550012},
                  (3, 13, 4, 4, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize(("seed", "kind"), GOLDEN)
def test_the_authors_numbers_where_definitions_agree(seed, kind):
    ap, delta, counts = GOLDEN[seed, kind]
    data, records = random_set(seed)
    result = budget(records, kind, data)
    assert result["AP50"] == pytest.approx(ap, abs=1e-8)
    assert result["delta"] == pytest.approx(delta, abs=1e-8)
    assert tuple(result["count"][name] for name in TYPES) == counts


REFERENCE_COUNTS = {  # tidecv 1.0.1 and hotcoco 1.3.0 on the example results that the COCO API publishes
    "bbox": (83, 1, 0, 1, 0, 97),
    "segm": (76, 82, 7, 0, 4, 109),
}
REFERENCE_DELTAS = {  # hotcoco 1.3.0, whose mean runs over the same classes; its Miss and FN leave a missed class at AP 0
    "bbox": {"Cls": 0.16757478265235964, "Loc": 0.0024988213107025085, "Both": 0.0, "Dupe": 0.0002059922591449508,
             "Bkg": 0.0, "FP": 0.0740315185515134},
    "segm": {"Cls": 0.137072161093196, "Loc": 0.12596110748798303, "Both": 0.0035071058126220815, "Dupe": 0.0,
             "Bkg": 0.0029661639633350896, "FP": 0.09400580359649276},
}  # fmt: skip


@pytest.mark.skipif(not REFERENCES.is_dir(), reason="../shared/data/evaluator_refs is not there")
@both_kinds
def test_published_example_results(kind):
    data = json.loads((REFERENCES / "instances_val2014_100.json").read_text())
    result = budget(json.loads((REFERENCES / f"instances_val2014_fake{kind}100_results.json").read_text()), kind, data)
    assert tuple(result["count"][name] for name in TYPES) == REFERENCE_COUNTS[kind]
    known = REFERENCE_DELTAS[kind]
    assert {name: result["delta"][name] for name in known} == pytest.approx(known, abs=1e-12)
