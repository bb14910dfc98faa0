import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_area

from tests.reference import slow_yolact
from yolact.ops import boxes

side = st.floats(0.01, 1)
place = st.floats(-0.5, 1)
a_box = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), place, place, side, side)
an_anchor = st.tuples(place, place, side, side)


@given(a_box, an_anchor)
def test_encode_is_the_slow_encode_and_decode_undoes_it(box, anchor):
    box_14, anchor_14 = torch.tensor([box], dtype=torch.float64), torch.tensor([anchor], dtype=torch.float64)
    offsets = boxes.encode(box_14, anchor_14)
    np.testing.assert_allclose(offsets[0], slow_yolact.encode(box, anchor), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(boxes.decode(offsets, anchor_14), box_14, rtol=1e-9, atol=1e-9)


@given(st.tuples(*[st.floats(-8, 8)] * 4), an_anchor)
def test_decode_is_the_slow_decode(offset, anchor):
    decoded = boxes.decode(torch.tensor([offset], dtype=torch.float64), torch.tensor([anchor], dtype=torch.float64))
    np.testing.assert_allclose(decoded[0], slow_yolact.decode(offset, anchor), rtol=1e-9, atol=1e-9)


@given(a_box, a_box)
def test_intersections_are_those_of_the_slow_iou(a, b):
    a_14, b_14 = torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    shared = boxes.intersection(a_14, b_14).item()
    assert shared == boxes.intersection(b_14, a_14).item()
    assert shared / (box_area(a_14) + box_area(b_14) - shared).item() == pytest.approx(slow_yolact.iou(a, b), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param((0, 0, 2, 2), (0, 0, 2, 2), 4, id="the same"),
        pytest.param((0, 0, 2, 2), (2, 0, 4, 2), 0, id="touching"),
        pytest.param((0, 0, 2, 2), (3, 3, 4, 4), 0, id="apart in both"),
        pytest.param((0, 0, 4, 4), (1, 1, 1, 3), 0, id="against a line"),
    ],
)
def test_intersection_of_plain_cases(a, b, expected):
    assert boxes.intersection(torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32)).item() == expected


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4)])
def test_no_boxes(shape):
    empty = torch.zeros(shape)
    assert boxes.intersection(empty, empty).shape == (*shape[:-1], shape[-2])
    assert boxes.encode(empty, empty).shape == boxes.decode(empty, empty).shape == shape
