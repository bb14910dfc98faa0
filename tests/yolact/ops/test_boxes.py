import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
def test_iou_is_the_slow_iou_symmetric_and_a_fraction(a, b):
    a_14, b_14 = torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)
    overlap = boxes.iou(a_14, b_14).item()
    assert overlap == pytest.approx(slow_yolact.iou(a, b), abs=1e-12)
    assert overlap == pytest.approx(boxes.iou(b_14, a_14).item(), abs=1e-12)
    assert 0 <= overlap <= 1 + 1e-12


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param((0, 0, 2, 2), (0, 0, 2, 2), 1, id="the same"),
        pytest.param((0, 0, 2, 2), (2, 0, 4, 2), 0, id="touching"),
        pytest.param((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, id="half over"),
        pytest.param((0, 0, 4, 4), (1, 1, 3, 3), 1 / 4, id="inside"),
        pytest.param((0, 0, 4, 4), (1, 1, 1, 3), 0, id="against a line"),
        pytest.param((1, 1, 1, 1), (1, 1, 1, 1), float("nan"), id="two points, 0/0"),
    ],
)
def test_iou_of_plain_cases(a, b, expected):
    overlap = boxes.iou(torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32)).item()
    assert overlap == pytest.approx(expected, nan_ok=True)


@given(an_anchor)
def test_centre_and_corner_forms_are_inverse(anchor):
    box = torch.tensor([anchor], dtype=torch.float64)
    torch.testing.assert_close(boxes.corner_to_center(boxes.center_to_corner(box)), box, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4)])
def test_no_boxes(shape):
    empty = torch.zeros(shape)
    assert boxes.iou(empty, empty).shape == (*shape[:-1], shape[-2])
    assert boxes.center_to_corner(empty).shape == shape
