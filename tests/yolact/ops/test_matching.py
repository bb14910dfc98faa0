import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_yolact
from yolact.config import MatchingConfig
from yolact.ops.matching import match

EMPTY = torch.zeros(0, 4)


def run(boxes, labels, crowds, anchors, config=None):
    return match(
        torch.as_tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        torch.as_tensor(labels, dtype=torch.int64),
        torch.as_tensor(crowds, dtype=torch.float64).reshape(-1, 4),
        torch.as_tensor(anchors, dtype=torch.float64).reshape(-1, 4),
        config or MatchingConfig(),
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 3), st.integers(1, 40), st.booleans())
def test_as_the_slow_path(seed, n, crowds, p, wide_band):
    rng = np.random.default_rng(seed)
    anchors = np.concatenate([rng.random((p, 2)), rng.uniform(0.05, 0.5, (p, 2))], 1)
    # objects lie near anchors, so that every kind of match comes up
    near = anchors[rng.integers(0, p, n + crowds)] + rng.normal(0, 0.03, (n + crowds, 4))
    near[:, 2:] = np.maximum(near[:, 2:], 0.02)
    boxes = np.concatenate([near[:, :2] - near[:, 2:] / 2, near[:, :2] + near[:, 2:] / 2], 1)
    labels = rng.integers(0, 5, n + crowds)
    crowd = np.arange(n + crowds) >= n
    thresholds = (0.6, 0.2) if wide_band else (0.5, 0.4)
    config = MatchingConfig(positive_iou=thresholds[0], negative_iou=thresholds[1])
    classes, owner = slow_yolact.match(boxes, labels, crowd, anchors, *thresholds)

    made = run(boxes[:n], labels[:n], boxes[n:], anchors, config)

    np.testing.assert_array_equal(made.classes, classes)
    np.testing.assert_array_equal(made.objects[made.positive], owner[classes > 0])
    assert len(set(made.objects[made.positive].tolist())) == min(n, p) if n <= p else True


A = (0.5, 0.5, 0.4, 0.4)  # corners .3 .3 .7 .7
FAR = (0.1, 0.1, 0.1, 0.1)
CORNERS = (0.3, 0.3, 0.7, 0.7)
LEFT_45 = (0.3, 0.3, 0.3 + 0.4 * 0.45, 0.7)
LEFT_35 = (0.3, 0.3, 0.3 + 0.4 * 0.35, 0.7)


@pytest.mark.parametrize(
    ("boxes", "labels", "crowds", "anchors", "classes"),
    [
        pytest.param([], [], [], [A, FAR], [0, 0], id="no objects: background"),
        pytest.param([], [], [CORNERS], [A, FAR], [-1, 0], id="only a crowd: what it covers is neutral"),
        pytest.param([CORNERS], [4], [], [A], [5], id="one anchor"),
        pytest.param([(0.9, 0.9, 0.95, 0.95)], [2], [], [A], [3], id="no overlap at all: the only anchor is forced"),
        pytest.param([CORNERS, CORNERS], [0, 1], [], [A], [1], id="two objects, one anchor: the first is served"),
        pytest.param([CORNERS, CORNERS], [0, 1], [], [A, A, FAR], [1, 2, 0], id="duplicates: each has an anchor"),
        pytest.param([CORNERS], [0], [], [A, A, A], [1, 1, 1], id="equal anchors: all positive"),
        pytest.param([CORNERS, LEFT_45], [0, 1], [], [A, A], [1, 2], id="the pair with the best overlap goes first"),
        pytest.param([CORNERS], [3], [CORNERS], [A], [4], id="a crowd leaves positives alone"),
        pytest.param([(0.0, 0.0, 0.02, 0.02)], [3], [CORNERS], [FAR, A], [4, -1], id="a crowd over background"),
        pytest.param([CORNERS], [0], [], [A, (0.5, 0.5, 0.4, 0.18)], [1, -1], id="0.45 is neutral"),
        pytest.param([CORNERS], [0], [], [A, (0.5, 0.5, 0.4, 0.14)], [1, 0], id="0.35 is background"),
        pytest.param([(-0.2, -0.2, 0.05, 0.05)], [1], [], [A, (0.0, 0.0, 0.1, 0.1)], [0, 2], id="outside the image"),
    ],
)
def test_plain_cases(boxes, labels, crowds, anchors, classes):
    assert run(boxes, labels, crowds, anchors).classes.tolist() == classes


def test_thresholds_hold_at_equality():
    """At 0.5 positive, at 0.4 neutral; overlaps that binary fractions give exactly."""
    object_box = (0.0, 0.0, 0.5, 0.5)
    anchors = [(0.25, 0.25, 0.5, 0.5), (0.25, 0.125, 0.5, 0.25)]
    assert run([object_box], [0], [], anchors).classes.tolist() == [1, 1]
    config = MatchingConfig(positive_iou=0.75, negative_iou=0.5)
    assert run([object_box], [0], [], anchors, config).classes.tolist() == [1, -1]


def test_a_crowd_threshold_of_one_ignores_crowds():
    assert run([], [], [CORNERS], [A], MatchingConfig(crowd_iou=1)).classes.tolist() == [0]


def test_dtypes():
    made = match(EMPTY, torch.zeros(0, dtype=torch.int64), EMPTY, torch.rand(5, 4), MatchingConfig())
    assert made.classes.dtype == made.objects.dtype == torch.int64
