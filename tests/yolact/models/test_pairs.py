"""Every dense head with every mask branch, as the registries list them: a step of training and a prediction, or a refusal."""

from __future__ import annotations

import pytest
import torch

from experiments.spec.tree import flatten, nest
from tests.support.networks import predict, random_batch
from yolact.config import BackboneConfig, InferenceConfig, NoMaskConfig, TrainingConfig
from yolact.config.base import ConfigError
from yolact.config.fields import ScalesWith, marked
from yolact.models.build import build_model
from yolact.models.masks import BRANCHES
from yolact.models.one_stage.heads import HEADS
from yolact.training.loop import train

SIZE, CLASSES = 64, 3
SIZES = {"ssd": 300}
"""{kind of head: side of the input}, where SIZE leaves some level without cells."""
TINY = {"channels": 16, "convs": 1}
"""Fields of mask branches that are made small, where a branch has them."""
BOXES_ONLY = {
    "yolov3": "whose levels have different numbers of channels",
    "ssd": "whose levels have different numbers of channels",
    "centernet": "one map of stride 4",
}
"""{kind of head: words of the sentence that refuses it with any mask branch}."""
STEP = TrainingConfig(iterations=1, batch_size=2, warmup_iterations=0)


def kind(cls):
    return cls.model_fields["kind"].default


def tiny(head, branch):
    """The pair at few pixels: lengths in proportion, as the engine of experiments scales them."""
    size = SIZES.get(kind(head), SIZE)
    default = head(backbone=BackboneConfig(name="resnet_tiny", weights=None, width=16))
    values = flatten(default.to_data())
    for path in marked(head, ScalesWith):
        scale = size / default.image_size
        if path in values:
            values[path] = [[one * scale for one in each] if isinstance(each, list) else each * scale for each in values[path]]
    values[("image_size",)] = size
    narrow = {("fpn", "channels"): 64, ("neck", "widths"): [32] * len(values.get(("neck", "widths"), ()))}
    values |= {path: value for path, value in narrow.items() if path in values}
    values = {path: value for path, value in values.items() if path[0] != "mask_branch"}
    small = {name: value for name, value in TINY.items() if name in branch.model_fields}
    return head.from_data(nest(values) | {"mask_branch": {"kind": kind(branch), **small}})


@pytest.mark.parametrize("branch", [*BRANCHES, NoMaskConfig], ids=kind)
@pytest.mark.parametrize("head", HEADS, ids=kind)
def test_a_pair_learns_and_predicts_or_is_refused(head, branch):
    if kind(head) in BOXES_ONLY and branch is not NoMaskConfig:
        with pytest.raises(ConfigError, match=BOXES_ONLY[kind(head)]):
            tiny(head, branch)
        return
    config = tiny(head, branch)
    torch.manual_seed(0)
    model = build_model(config, CLASSES, pretrained=False)
    before = {name: value.clone() for name, value in model.named_parameters()}
    images, targets = random_batch(0, size=config.image_size)

    history = train(model, lambda start: iter([(images, targets)]), STEP)

    terms = {name: value for name, value in history.rows[0].items() if name not in ("iteration", "lr")}
    assert history.skipped == 0 and all(value > 0 for value in terms.values())
    assert ("mask" in terms) == (branch is not NoMaskConfig)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {name.split(".")[0] for name in before}
    inference = InferenceConfig(**{**config.inference_defaults, "score_threshold": 0.0, "max_detections": 5})
    (found,) = predict(model.eval(), [torch.randint(0, 256, (3, 40, 56), dtype=torch.uint8)], inference)
    assert len(found) == 5 and torch.isfinite(found.scores).all()
    assert found.masks is None if branch is NoMaskConfig else found.masks.shape == (5, 40, 56)
