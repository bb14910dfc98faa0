"""Agreement of a device with the CPU, here of the CPU with itself."""

import pytest
import torch

from benchmarks.common.networks import TINY_IMAGE, drawn, presets
from benchmarks.gpu.agreement import _compare_detections, _compare_raw, agreement, paired
from yolact.models.one_stage.dense_head import Dense
from yolact.models.one_stage.model import Raw
from yolact.structures import Detections


def test_every_tiny_network_finds_something_and_agrees_with_itself():
    for preset in presets(tiny=True).values():
        rows = agreement(preset, "cpu", TINY_IMAGE)
        assert rows and all(row["agrees"] and row["count"] > 0 for row in rows), rows
        assert {"whole: detections", "whole: masks"} <= {row["quantity"] for row in rows}


def test_a_network_is_drawn_the_same_every_time():
    preset = presets(tiny=True)["tiny_yolact"]
    ours, theirs = drawn(preset).state_dict(), drawn(preset).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def found(*boxes, labels=None):
    count = len(boxes)
    masks = torch.zeros(count, 10, 10, dtype=torch.bool)
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(count, 4)
    return Detections(corners, torch.ones(count), torch.tensor(labels or [0] * count), masks)


A, B = (0, 0, 4, 4), (5, 5, 9, 9)


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs"),
    [
        (found(), found(), []),
        (found(A, B), found(B, A), [(0, 1), (1, 0)]),  # another order is no difference
        (found(A), found((0, 0, 4, 5.5)), []),  # a corner lies elsewhere
        (found(A), found(A, labels=[1]), []),
        (found(A, A), found(A), [(0, 0)]),  # each once
    ],
)
def test_detections_are_paired(ours, theirs, pairs):
    assert paired(ours, theirs) == pairs


def test_differences_are_noted():
    noted = {}

    def note(quantity, difference, count, detail=""):
        noted[f"{quantity} {detail}".strip()] = (difference, count)

    ours, theirs = found(A, B), found(A)
    theirs.masks[0, 0, 0] = True
    _compare_detections("whole", ours, theirs, note)
    assert noted == {"whole: detections": (0.5, 2), "whole: masks": (1 / 100, 100)}

    raw = Raw(Dense(torch.tensor([2.0, -4]), torch.ones(1), torch.ones(1), None), (), None)
    other = Raw(Dense(torch.tensor([2.0, -3]), torch.ones(1), torch.ones(1), None), (), None)
    noted.clear()
    _compare_raw(raw, other, note)
    assert noted == {"raw offsets": (0.25, 2), "raw logits": (0, 1), "raw mask_parameters": (0, 1)}
