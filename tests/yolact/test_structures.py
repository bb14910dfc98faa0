"""Detections: selection and moves of every field at once."""

from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolact.structures import Detections


def some(n, **changes):
    generator = torch.Generator().manual_seed(n)
    parts = {
        "boxes": torch.rand(n, 4, generator=generator),
        "scores": torch.rand(n, generator=generator),
        "labels": torch.randint(0, 5, (n,), generator=generator),
        "masks": torch.rand(n, 3, 4, generator=generator) > 0.5,
        "coefficients": torch.rand(n, 2, generator=generator),
        "prototypes": torch.rand(2, 3, 3, generator=generator),
        "mask_scores": torch.rand(n, generator=generator),
    }
    return Detections(**{**parts, **changes})


def rows(found, order):
    """Every field of the detections in `order`, one by one."""
    return {
        field.name: getattr(found, field.name) if field.name == "prototypes" else getattr(found, field.name)[list(order)]
        for field in fields(found)
    }


@st.composite
def selections(draw):
    n = draw(st.integers(0, 6))
    bound = st.one_of(st.none(), st.integers(-7, 7))
    flags = st.lists(st.booleans(), min_size=n, max_size=n).map(lambda flags: torch.tensor(flags, dtype=torch.bool))
    numbers = st.lists(st.integers(0, max(0, n - 1)), max_size=8 if n else 0)
    places = numbers.map(lambda own: torch.tensor(own, dtype=torch.int64))
    return n, draw(st.one_of(flags, places, st.builds(slice, bound, bound, st.one_of(st.none(), st.integers(1, 3)))))


@given(selections())
def test_each_field_is_selected_but_the_prototypes(case):
    n, index = case
    found = some(n)
    expected = rows(found, torch.arange(n)[index].tolist())
    for name, part in vars(found[index]).items():
        assert torch.equal(part, expected[name]), name


@pytest.mark.parametrize("absent", ["masks", "coefficients", "prototypes", "mask_scores"])
def test_absent_fields_stay_absent(absent):
    found = some(3, **{absent: None})
    assert getattr(found[:2], absent) is None and getattr(found.to("cpu"), absent) is None
    assert len(found[:2]) == 2


@pytest.mark.parametrize("index", [0, [0, 1], torch.tensor(1), (slice(1), 0)], ids=str)
def test_other_indices_are_refused(index):
    with pytest.raises(TypeError, match="selected by a mask"):
        some(2)[index]


def test_detections_are_not_iterable():
    with pytest.raises(TypeError):
        list(some(2))


def test_to_moves_each_field():
    moved = some(2).to("meta")
    assert {part.device.type for part in vars(moved).values()} == {"meta"}
    assert moved.masks.dtype == torch.bool
