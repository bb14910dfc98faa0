"""Mask scoring. Numbers in comments are those of the fact sheets on Mask Scoring R-CNN (M) and CenterMask (C)."""

import pytest
import torch

from yolact.models.layers.mask_iou_head import MaskIoUHead, mask_iou_loss, mask_iou_targets
from yolact.ops.regions import area_share, masks_in_regions


@pytest.mark.parametrize(
    ("channels", "outputs", "sizes", "parameters", "tensors"),
    [
        pytest.param(256, 81, {}, 16_341_329, 14, id="Mask Scoring R-CNN"),  # M28
        pytest.param(256, 80, {}, 16_340_304, 14, id="CenterMask"),  # C24
        pytest.param(128, 80, {"width": 128, "convs": 2}, 7_851_472, 10, id="CenterMask-Lite"),
    ],
)
def test_numbers_of_parameters(channels, outputs, sizes, parameters, tensors):
    with torch.device("meta"):
        head = MaskIoUHead(channels, outputs, **sizes)
    assert sum(value.numel() for value in head.parameters()) == parameters
    assert len(head.state_dict()) == tensors
    assert head.hidden[0].in_features == head.convs[-1].out_channels * 7 * 7


def small(seed=0, outputs=4):
    torch.manual_seed(seed)
    head = MaskIoUHead(8, outputs, width=6, convs=2, units=5)
    head.initialise()
    return head


def test_the_mask_is_the_last_channel_and_pooled_by_its_largest():  # M3
    head = small()
    features, masks = torch.rand(3, 8, 14, 14), torch.rand(3, 28, 28)
    made = head(features, masks)
    assert made.shape == (3, 4)
    largest = masks.reshape(3, 14, 2, 14, 2).amax(dim=(2, 4))
    x = torch.cat([features, largest[:, None]], 1)
    for conv, stride in zip(head.convs, (1, 2), strict=True):
        x = torch.nn.functional.conv2d(x, conv.weight, conv.bias, stride, 1).relu()
    assert x.shape[-1] == 7
    for layer in head.hidden:
        x = layer(x.flatten(1)).relu()
    torch.testing.assert_close(made, head.output(x))


def test_initial_weights():  # M5
    torch.manual_seed(0)
    head = MaskIoUHead(64, 4, width=64, units=256)
    head.initialise()
    assert head.convs[1].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
    bound = (3 / head.hidden[0].in_features) ** 0.5
    assert 0.99 * bound < head.hidden[0].weight.abs().max() <= bound
    assert head.output.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not any(value.any() for name, value in head.named_parameters() if name.endswith("bias"))


def target(box, mask, made):
    """The target of one region whose mask has the logits `made` (28, 28)."""
    masks, objects, boxes = mask[None].to(torch.uint8), torch.tensor([0]), torch.tensor([box], dtype=torch.float32)
    wanted = masks_in_regions(masks, objects, boxes, 28)
    return mask_iou_targets(made[None], wanted, area_share(masks, objects, boxes)).item()


def test_half_of_the_object_is_outside():  # M29, C37
    mask = torch.zeros(64, 64)
    mask[10:38, 2:58] = 1
    assert target([2, 10, 30, 38], mask, torch.ones(28, 28)) == 0.5
    mask = torch.zeros(64, 64)
    mask[20:40, 20:40] = 1
    assert target([20, 20, 30, 40], mask, torch.ones(28, 28)) == 0.5  # 784 / 1568


def test_half_of_the_prediction_is_wrong():  # M30
    mask = torch.zeros(28, 28)
    mask[:14, :14] = 1
    made = -torch.ones(28, 28)
    made[:14, :7], made[14:21, :14] = 1, 1
    assert target([0, 0, 28, 28], mask, made) == pytest.approx(1 / 3)


def test_a_prediction_equal_to_the_object():  # M32
    mask = torch.zeros(64, 64)
    mask[12:30, 9:31] = 1
    wanted = masks_in_regions(mask[None].to(torch.uint8), torch.tensor([0]), torch.tensor([[5.0, 5, 33, 33]]), 28)[0]
    assert target([5, 5, 33, 33], mask, wanted - 0.5) == 1
    assert target([5, 5, 33, 33], mask, -torch.ones(28, 28)) == 0  # C37: nothing predicted
    assert target([5, 5, 33, 33], torch.zeros(64, 64), torch.ones(28, 28)) == 0  # no object


def test_targets_lie_between_0_and_1():  # M32
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(5, 40, 40, generator=generator) > 0.7).to(torch.uint8)
    corner = torch.rand(50, 2, generator=generator) * 50 - 10
    boxes = torch.cat([corner, corner + torch.rand(50, 2, generator=generator) * 30], 1)
    objects = torch.arange(50) % 5
    share = area_share(masks, objects, boxes)
    found = mask_iou_targets(torch.randn(50, 28, 28), masks_in_regions(masks, objects, boxes, 28), share)
    assert found.min() >= 0 and 0 < found.max() <= 1


def test_where_a_mask_begins():  # M9: mmdetection compares logits with one half
    logits = torch.tensor([[[0.4, 0.6], [-1.0, 0.0]]])
    wanted = torch.tensor([[[1.0, 1], [0, 0]]])
    assert mask_iou_targets(logits, wanted, torch.ones(1)).item() == 1
    assert mask_iou_targets(logits, wanted, torch.ones(1), threshold=0.5).item() == 0.5


@pytest.mark.parametrize(
    ("predicted", "wanted", "loss"),
    [
        pytest.param([0.8], [0.5], 0.045, id="M31"),
        pytest.param([0.8, 0.3], [0.5, 0.0], 0.045, id="a target of 0 does not count"),
        pytest.param([0.5, 0.8, 0.3], [0.9, 0.6, 0.0], 0.05, id="C36"),
        pytest.param([0.5, 0.8], [0.0, 0.0], 0.0, id="all targets 0"),
        pytest.param([], [], 0.0, id="no masks"),
    ],
)
def test_loss(predicted, wanted, loss):
    made = torch.tensor(predicted, requires_grad=True)
    value = mask_iou_loss(made, torch.tensor(wanted))
    value.backward()
    assert value.item() == pytest.approx(loss)
    assert torch.isfinite(made.grad).all() and made.grad.any() == (loss > 0)


def test_the_gradient_reaches_mask_and_features_but_not_the_target():  # M12, M34
    head = small()
    features, logits = torch.rand(2, 8, 14, 14, requires_grad=True), torch.randn(2, 28, 28, requires_grad=True)
    targets = mask_iou_targets(logits, torch.ones(2, 28, 28), torch.ones(2))
    assert not targets.requires_grad
    mask_iou_loss(head(features, logits.sigmoid())[:, 1], targets).backward()
    assert logits.grad.any() and features.grad.any()
