import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import paste_masks_in_image

from tests.reference import slow_blend, slow_masks
from yolact.ops import mask_assembly, masks

BOXES = [
    pytest.param((0.2, 0.3, 0.7, 0.9), id="inside"),
    pytest.param((-0.4, -0.2, 1.5, 1.3), id="larger than the image"),
    pytest.param((1.2, 1.2, 1.4, 1.5), id="outside"),
    pytest.param((0.7, 0.9, 0.2, 0.3), id="corners swapped"),
    pytest.param((0.5, 0.5, 0.5, 0.5), id="a point"),
    pytest.param((0.125, 0.25, 0.5, 0.75), id="on pixel borders"),
]


def prototypes(seed, n, k=4, h=9, w=7):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1.5, (k, h, w)).astype(np.float32), np.tanh(rng.normal(0, 1, (n, k))).astype(np.float32)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_crop_as_the_slow_path(box, padding):
    for size in ((9, 7), (8, 16)):
        left = mask_assembly.crop(torch.ones(1, *size), torch.tensor([box]), padding)[0]
        np.testing.assert_array_equal(left.numpy() == 1, slow_masks.inside(np.float32(box), *size, padding))


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("size", [(31, 45), (1, 1), (5, 3)], ids=str)
def test_assembled_masks_as_the_slow_path(box, crop, size):
    maps, coefficients = prototypes(1, 3)
    boxes = torch.tensor([box] * 3)
    small = mask_assembly.assemble(torch.tensor(maps), torch.tensor(coefficients), boxes if crop else None)
    made = masks.binarize(small, size)
    assert made.dtype == torch.bool
    for mask, row in zip(made, coefficients, strict=True):
        np.testing.assert_array_equal(mask, slow_masks.assemble(maps, row, np.float32(box), *size, crop=crop))


def test_full_size_masks_differ_in_at_most_one_pixel_of_ten_thousand():
    """At 640 x 480 from 138 x 138 prototypes; float64 numpy by separable bilinear weights as the second opinion."""
    maps, coefficients = prototypes(2, 2, k=32, h=138, w=138)
    boxes = torch.tensor([(0.1, 0.2, 0.8, 0.9), (0.0, 0.0, 1.0, 1.0)])
    made = masks.binarize(mask_assembly.assemble(torch.tensor(maps), torch.tensor(coefficients), boxes), (480, 640))

    def weights(out, size):
        return np.stack([slow_masks.bilinear(np.eye(size)[:, [i]], out, 1)[:, 0] for i in range(size)], 1)

    rows, columns = weights(480, 138), weights(640, 138)
    for mask, row, box in zip(made, coefficients, boxes.numpy(), strict=True):
        small = 1 / (1 + np.exp(-np.einsum("k,khw->hw", row.astype(np.float64), maps.astype(np.float64))))
        expected = rows @ (small * slow_masks.inside(box, 138, 138)) @ columns.T > 0.5
        assert (mask.numpy() != expected).mean() <= 1e-4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 8))
def test_paste_as_the_slow_path(seed, height, width, side):
    rng = np.random.default_rng(seed)
    square = rng.random((3, side, side)).astype(np.float32)
    boxes = rng.uniform(-0.3, 1.3, (3, 4)).astype(np.float32)
    made = masks.paste(torch.tensor(square), masks.to_pixels(torch.tensor(boxes), (height, width)), (height, width))
    expected = np.stack([slow_masks.paste(s, b, height, width) for s, b in zip(square, boxes, strict=True)])
    assert (made.numpy() != expected).mean() <= 1e-3


@pytest.mark.parametrize("box", BOXES)
def test_box_sanitising_as_the_slow_path(box):
    made = masks.to_pixels(torch.tensor([box]), (40, 60))[0].tolist()
    (x1, x2), (y1, y2) = slow_masks.sanitise(box[0], box[2], 60), slow_masks.sanitise(box[1], box[3], 40)
    assert made == pytest.approx([min(x1, 60), min(y1, 40), x2, y2], abs=1e-5)
    assert 0 <= made[0] <= made[2] <= 60 and 0 <= made[1] <= made[3] <= 40


@pytest.mark.parametrize("chunk", [1, 700, 2**24])
def test_chunks_change_nothing(monkeypatch, chunk):
    maps, coefficients = prototypes(3, 7)
    small = mask_assembly.assemble(torch.tensor(maps), torch.tensor(coefficients))
    boxes = torch.tensor([[3.0, 4, 20, 17]] * 7)
    whole = masks.binarize(small, (20, 30)), masks.paste(small, boxes, (20, 30))
    monkeypatch.setattr(masks, "_CHUNK_PIXELS", chunk)
    assert torch.equal(masks.binarize(small, (20, 30)), whole[0])
    assert torch.equal(masks.paste(small, boxes, (20, 30)), whole[1])


def test_a_huge_image_is_upsampled_in_bounded_chunks(monkeypatch):
    """Never more than 64 MiB of float mask at a time (or one instance's worth)."""
    seen = []
    interpolate = masks.F.interpolate
    monkeypatch.setattr(
        masks.F,
        "interpolate",
        lambda x, size, **kw: seen.append(x.shape[1] * size[0] * size[1]) or interpolate(x, size=size, **kw),
    )
    made = masks.binarize(torch.rand(5, 8, 8), (2000, 3000))
    assert made.shape == (5, 2000, 3000)
    assert len(seen) == 3 and max(seen) * 4 <= 64 * 2**20


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pasting_with_a_border_is_torchvisions(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 20, (3, 2))
    boxes = torch.tensor(np.concatenate([corner, corner + rng.uniform(0, 12, (3, 2))], axis=1), dtype=torch.float32)
    square = torch.tensor(rng.random((3, 28, 28)), dtype=torch.float32)
    expected = paste_masks_in_image(square[:, None], boxes, (30, 35))[:, 0] > 0.5
    assert torch.equal(masks.paste_padded(square, boxes, (30, 35)), expected)


def test_no_detections():
    none = torch.zeros(0, 4)
    assert masks.binarize(mask_assembly.assemble(torch.rand(4, 9, 7), none, none), (20, 30)).shape == (0, 20, 30)
    for paste in (masks.paste, masks.paste_padded):
        assert paste(torch.zeros(0, 5, 5), none, (20, 30)).shape == (0, 20, 30)
    assert masks.to_pixels(none, (20, 30)).shape == (0, 4)


def test_the_threshold_is_strict():
    assert not masks.binarize(torch.full((1, 2, 2), 0.5), (4, 4)).any()


@pytest.mark.parametrize("low", [10.0, 10.4])
def test_a_sampled_square_of_ones_fills_the_pixels_whose_centres_lie_in_its_box(low):
    """Fact sheet on BlendMask, 41."""
    (mask,) = masks.sample(torch.ones(1, 56, 56), torch.tensor([[low, low, low + 10, low + 10]]), (30, 30))
    expected = torch.zeros(30, 30, dtype=torch.bool)
    expected[10:20, 10:20] = True
    assert torch.equal(mask, expected)


def test_sampled_masks_as_the_slow_path_and_in_chunks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    soft = torch.rand(5, 6, 6, generator=generator)
    corner = torch.rand(5, 2, generator=generator) * 20 - 4
    boxes = torch.cat([corner, corner + torch.rand(5, 2, generator=generator) * 20], 1)
    whole = masks.sample(soft, boxes, (20, 30))
    for mask, box, own in zip(soft, boxes, whole, strict=True):
        values = slow_blend.paste(mask.double().numpy(), box.tolist(), (20, 30))
        clear = np.abs(values - 0.5) > 1e-5
        np.testing.assert_array_equal(own.numpy()[clear], (values >= 0.5)[clear])
    monkeypatch.setattr(masks, "_CHUNK_PIXELS", 1)
    assert torch.equal(masks.sample(soft, boxes, (20, 30)), whole)
    assert masks.sample(soft[:0], boxes[:0], (20, 30)).shape == (0, 20, 30)
    assert not masks.sample(soft[:1], torch.tensor([[5.0, 5, 5, 9]]), (20, 30), 0.0).any()
