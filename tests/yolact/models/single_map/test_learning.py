"""FCIS and MNC learn two objects by heart: where they are, what they are, and which pixels are theirs."""

import pytest
import torch
from torchvision.ops import box_iou

from tests.support.networks import SIZE, loss, predict, target
from tests.yolact.models.single_map.tiny import TINY_FCIS, TINY_MNC
from yolact.config import InferenceConfig
from yolact.models.build import build_model


@pytest.mark.slow
@pytest.mark.parametrize("tiny", [TINY_FCIS, TINY_MNC.replace(mask_units=32, representation=32)], ids=["fcis", "mnc"])
def test_it_learns_two_objects(tiny):
    torch.manual_seed(0)
    backbone = tiny.backbone.replace(width=16)
    model = build_model(tiny.replace(backbone=backbone, channels=32), num_classes=2, pretrained=False).train()
    goal = target([[4, 8, 36, 40], [30, 36, 60, 62]], labels=[0, 1])
    picture = torch.full((3, SIZE, SIZE), 60, dtype=torch.uint8)
    for colour, mask in zip((0, 250), goal.masks.bool(), strict=True):
        picture[:, mask] = colour
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(150):
        optimizer.zero_grad()
        sum(loss(model, picture[None].float().expand(2, -1, -1, -1), [goal, goal]).values()).backward()
        optimizer.step()
    wide = picture.repeat_interleave(2, dim=2)
    inference = InferenceConfig(**{**model.config.inference_defaults, "score_threshold": 0.3})
    (found,) = predict(model.eval(), [wide], inference)
    for label in (0, 1):
        best = int((found.labels == label).nonzero()[0])
        mask, truth = found.masks[best], goal.masks[label].bool().repeat_interleave(2, dim=1)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6
        assert box_iou(found.boxes[best : best + 1], goal.boxes[label : label + 1] * torch.tensor([2, 1, 2, 1])) > 0.6
