"""The two forms of semantic segmentation on P3. Numbers in comments are those of the fact sheet on BlendMask."""

import math

import pytest
import torch

from tests.support.networks import SIZE, TINY, TINY_POINTS, random_batch, tiny_model
from yolact.config import LossConfig, PointLossConfig
from yolact.models.one_stage.semantic import paint
from yolact.structures import Target

PAINTED = TINY_POINTS.replace(loss=PointLossConfig(semantic=0.3, semantic_form="painted", semantic_channels=16))


def marked(*pixels, crowd=None, labels=(0, 1, 2)):
    """A target whose masks are rectangles (y1, x1, y2, x2)."""
    masks = torch.zeros(len(pixels), 16, 16, dtype=torch.uint8)
    for mask, (y1, x1, y2, x2) in zip(masks, pixels, strict=True):
        mask[y1:y2, x1:x2] = 1
    n = len(pixels)
    crowds = torch.tensor(crowd or [False] * n, dtype=torch.bool)
    return Target(torch.rand(n, 4), torch.tensor(labels[:n], dtype=torch.int64), masks, crowds, 0)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(marked((0, 0, 9, 9)), [[1, 1], [1, 1]], id="the top left pixel of each cell decides"),
        pytest.param(marked((1, 1, 8, 8)), [[0, 0], [0, 0]], id="all pixels but that one are not seen"),
        pytest.param(marked((0, 0, 16, 16), (0, 0, 1, 1)), [[2, 1], [1, 1]], id="later over earlier"),
        pytest.param(marked((0, 0, 1, 1), (0, 0, 16, 16)), [[2, 2], [2, 2]], id="also where the earlier is smaller"),
        pytest.param(marked((0, 0, 16, 16), (0, 8, 9, 9), crowd=[False, True]), [[1, 2], [1, 2]], id="crowds are painted"),
        pytest.param(marked(), [[0, 0], [0, 0]], id="no annotation"),
    ],
)
def test_painting(target, expected):  # 16
    assert paint([target])[0].tolist() == expected


def test_a_painted_loss():  # 16: mean over the pixels of the batch, background 0
    model, (images, targets) = tiny_model(PAINTED), random_batch(0, crowds=1)
    assignment = model.assign(targets)
    assert assignment.painted.shape == (2, 8, 8) and torch.equal(assignment.painted, paint(targets))
    raw = model(images)
    assert raw.semantic.shape == (2, 4, 8, 8)
    flat = model.criterion(raw._replace(semantic=torch.zeros_like(raw.semantic)), assignment)["semantic"]
    assert flat.item() == pytest.approx(0.3 * math.log(4), rel=1e-5)
    right = torch.nn.functional.one_hot(assignment.painted, 4).movedim(3, 1) * 50.0
    assert model.criterion(raw._replace(semantic=right), assignment)["semantic"].item() < 1e-6
    expected = torch.nn.functional.cross_entropy(raw.semantic, paint(targets)) * 0.3
    torch.testing.assert_close(model.criterion(raw, assignment)["semantic"], expected)


def test_inference_makes_no_segmentation_and_either_detector_may_have_it():
    model = tiny_model(PAINTED).eval()
    assert model(random_batch(0)[0]).semantic is None
    assert "semantic.6.weight" in model.state_dict() and PAINTED.trains_batch_norm
    anchors = TINY.replace(loss=LossConfig(semantic_form="painted", semantic_channels=16))
    images, targets = random_batch(1)
    made = tiny_model(anchors)
    assert made.semantic[6].out_channels == 4 and torch.isfinite(made.loss(images, made.assign(targets))["semantic"])
    assert tiny_model(TINY).assign(targets).painted is None and images.shape[-1] == SIZE


def test_the_form_of_yolact_has_no_trace_in_plain_data():
    assert "semantic_form" not in LossConfig().to_data() and LossConfig(semantic_form="painted").essence() == {
        "semantic_form": "painted"
    }
    assert not TINY.replace(backbone=TINY.backbone.replace(freeze_bn=True)).trains_batch_norm
