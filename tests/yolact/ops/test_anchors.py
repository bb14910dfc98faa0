import numpy as np
import pytest

from tests.reference import slow_yolact
from yolact.config import AnchorConfig
from yolact.config.presets import PRESETS
from yolact.ops.anchors import level_sizes, make_anchors

COCO = ((24,), (48,), (96,), (192,), (384,))
SIDES = {400: [50, 25, 13, 7, 4], 550: [69, 35, 18, 9, 5], 700: [88, 44, 22, 11, 6]}
# reference-implementation.md, 1.5: preset, side, scales, square, anchors in all
PUBLISHED = [
    ("yolact_base", 550, COCO, True, 19_248),
    ("yolact_resnet50", 550, COCO, True, 19_248),
    ("yolact_darknet53", 550, COCO, True, 19_248),
    ("yolact_im400", 400, ((17,), (34,), (69,), (139,), (279,)), True, 10_077),
    ("yolact_im700", 700, ((30,), (61,), (122,), (244,), (488,)), True, 30_963),
    ("yolact_resnet50_pascal", 550, ((32,), (64,), (128,), (256,), (512,)), False, 19_248),
]


@pytest.mark.parametrize(("name", "size", "scales", "square", "count"), PUBLISHED, ids=[row[0] for row in PUBLISHED])
def test_published_anchors(name, size, scales, square, count):
    model = PRESETS[name].model
    assert (model.image_size, model.anchors.scales, model.anchors.square) == (size, scales, square)
    assert level_sizes(size, 5) == [(side, side) for side in SIDES[size]]
    made = make_anchors(model.anchors, size, level_sizes(size, 5))
    assert made.shape == (count, 4)
    expected = slow_yolact.anchors(size, SIDES[size], scales, (1, 0.5, 2), square)
    np.testing.assert_allclose(made.numpy(), expected, rtol=0, atol=1e-7)


def test_square_anchors_have_the_sides_the_reference_names():
    first_cell = make_anchors(AnchorConfig(), 550, [(69, 69)])[:3] * 550
    np.testing.assert_allclose(first_cell[:, 2], [24, 16.97, 33.94], atol=0.005)
    np.testing.assert_allclose(first_cell[:, 2], first_cell[:, 3])


def test_plus_anchors_run_ratio_fastest_within_a_scale():
    """YOLACT++'s 57 744 anchors: three scales an octave, true ratios."""
    scales = tuple(tuple(side * 2 ** (i / 3) for i in range(3)) for side in (24.0, 48.0, 96.0, 192.0, 384.0))
    config = PRESETS["yolact_plus_base"].model.anchors
    assert config == PRESETS["yolact_plus_resnet50"].model.anchors
    made = make_anchors(config, 550, level_sizes(550, 5))
    assert made.shape == (57_744, 4)
    sides = [(24, 24), (16.971, 33.941), (33.941, 16.971), (30.238, 30.238), (21.382, 42.763), (42.763, 21.382)]
    sides += [(38.098, 38.098), (26.939, 53.878), (53.878, 26.939)]
    np.testing.assert_allclose(made[:9, 2:] * 550, sides, atol=5e-4)
    np.testing.assert_allclose(made, slow_yolact.anchors(550, SIDES[550], scales, (1, 0.5, 2), False), atol=1e-7)


def test_one_anchor_and_a_map_that_is_not_square():
    config = AnchorConfig(scales=((10,),), aspect_ratios=(1,))
    np.testing.assert_allclose(make_anchors(config, 20, [(1, 1)]), [[0.5, 0.5, 0.5, 0.5]])
    np.testing.assert_allclose(make_anchors(config, 20, [(1, 2)])[:, :2], [[0.25, 0.5], [0.75, 0.5]])
