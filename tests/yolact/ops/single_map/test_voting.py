"""Mask voting. Numbers in comments are those of the fact sheet on FCIS."""

import numpy as np
import pytest
import torch

from tests.reference import slow_fcis
from yolact.ops.masks import paste, tight_boxes
from yolact.ops.single_map.voting import Regions, vote

WHOLE = torch.tensor([[0.0, 0, 4, 4]])


def voters(masks, scores, boxes=None):
    masks = torch.as_tensor(masks, dtype=torch.float32)
    boxes = WHOLE.expand(len(masks), 4) if boxes is None else boxes
    return Regions(boxes, torch.as_tensor(scores, dtype=torch.float32), masks)


def cell(*places):
    mask = torch.zeros(4, 4)
    for place in places:
        mask[place] = 1
    return mask


def test_three_voters_on_one_box():  # 28: weights .5, .333, .167
    first, second, both = (0, 0), (1, 1), (2, 2)
    masks = torch.stack([cell(first), cell(second, both), cell(both)])
    (found,) = vote(WHOLE, torch.tensor([1]), voters(masks, [[0.1, 0.9], [0.9, 0.6], [0.0, 0.3]]), (4, 4), 0.4)
    assert found[first]  # the first alone: .5
    assert not found[second]  # the second alone: .333
    assert found[both]  # the second and the third: .5
    assert found.sum() == 2


def test_the_weight_is_the_score_of_the_detections_class():
    masks = torch.stack([cell((0, 0)), cell((3, 3))])
    found = vote(WHOLE.expand(2, 4), torch.tensor([0, 1]), voters(masks, [[0.9, 0.1], [0.1, 0.9]]), (4, 4), 0.4)
    assert found[0].nonzero().tolist() == [[0, 0]]
    assert found[1].nonzero().tolist() == [[3, 3]]


def test_one_voter_gives_its_own_mask():  # 28
    mask = torch.tensor([[0.39, 0.41], [0.9, 0.0]])[None]
    box = torch.tensor([[1.0, 1, 3, 3]])
    (found,) = vote(box, torch.tensor([0]), voters(mask, [[0.2]], box), (4, 5), 0.4)
    assert found.shape == (4, 5)
    assert found.nonzero().tolist() == [[1, 2], [2, 1]]


def test_regions_that_overlap_by_less_than_half_have_no_vote():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 1.9], [0, 0, 4, 2]])
    masks = torch.stack([cell((3, 3)), torch.ones(4, 4), torch.ones(4, 4)])
    detection = vote(WHOLE, torch.tensor([0]), voters(masks, [[0.1], [0.9], [0.9]], boxes), (4, 4), 0.4)[0]
    assert detection.nonzero().tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2], [1, 3]]


def test_plain_loops_give_the_same():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(12, 2, generator=generator) * 8
    boxes = torch.cat([corner, corner + 8 + torch.rand(12, 2, generator=generator) * 12], dim=1)
    regions = voters(torch.rand(12, 5, 5, generator=generator), torch.rand(12, 3, generator=generator), boxes)
    labels = torch.tensor([0, 2, 1, 1])
    found = vote(boxes[:4], labels, regions, (32, 30), 0.4)
    pixels = paste(regions.masks, boxes, (32, 30), 0.4).tolist()
    for mask, box, label in zip(found, boxes.tolist(), labels.tolist(), strict=False):
        everyone = list(zip(boxes.tolist(), regions.scores[:, label].tolist(), pixels, strict=True))
        np.testing.assert_array_equal(mask, slow_fcis.vote(box, everyone, 32, 30, 0.4))
    assert found.any(dim=(1, 2)).all()


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_vote_on_and_boxes_without_area_leave_empty_masks(count):
    flat = torch.tensor([[2.0, 2, 2, 3]])[:count]
    found = vote(
        flat, torch.zeros(count, dtype=torch.int64), voters(torch.ones(count, 3, 3), torch.ones(count, 1), flat), (4, 6), 0.4
    )
    assert found.shape == (count, 4, 6) and not found.any()


def test_a_tight_box_and_the_centre_for_an_empty_mask():  # 20
    masks = torch.zeros(2, 6, 10, dtype=torch.bool)
    masks[0, 2:4, 3] = True
    assert tight_boxes(masks).tolist() == [[3, 2, 4, 4], [5, 3, 5, 3]]
    assert tight_boxes(masks[:0]).shape == (0, 4)
