"""What holds for every two-stage detector with a pyramid; `test_mask_rcnn.py` tests the rest on one of them."""

from contextlib import contextmanager

import pytest
import torch

from tests.support.networks import SIZE, loss, predict, random_batch, target, tiny_model
from yolact.config import BackboneConfig, FasterRCNNConfig, InferenceConfig, MSRCNNConfig, PANetConfig
from yolact.config.base import ConfigError
from yolact.inference.export import ExportError, export_model
from yolact.runtime.profiling import profiled

FIELDS = {
    "image_size": SIZE,
    "backbone": BackboneConfig(name="resnet_tiny", weights=None, width=4),
    "channels": 8,
    "representation": 16,
    "regions_per_image": 32,
    "anchor_sizes": (8, 16, 24, 32),
}
CONFIGS = {
    "faster_rcnn": FasterRCNNConfig(**FIELDS),
    "ms_rcnn": MSRCNNConfig(**FIELDS),
    "panet": PANetConfig(**FIELDS, groups=2),
    "panet from P2": PANetConfig(**FIELDS, groups=2, finest_level=2),
}
PICTURE = [torch.randint(0, 256, (3, 40, 56), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)]


@pytest.fixture(params=CONFIGS)
def model(request):
    return tiny_model(CONFIGS[request.param]).eval()


def plain(terms):
    return {name: value.item() for name, value in terms.items()}


def test_splitting_a_batch_changes_nothing(model):
    images, targets = random_batch(0, images=3, crowds=1)
    whole, total = plain(loss(model, images, targets)), model.assign(targets).counts
    parts = [plain(loss(model, images[s], targets[s], total)) for s in (slice(0, 1), slice(1, 3))]
    assert {name: sum(part[name] for part in parts) for name in whole} == pytest.approx(whole, rel=1e-5)


def test_a_batch_without_objects_has_a_finite_loss(model):
    images, _ = random_batch(0)
    terms = loss(model.train(), images, [target(()), target([[8, 8, 40, 30]], crowd=[True])])
    sum(terms.values()).backward()
    assert all(value.isfinite() for value in terms.values())
    assert not any(value for name, value in terms.items() if name not in ("objectness", "class"))
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


def test_every_section_is_entered_once(model):
    seen = []

    @contextmanager
    def sections(name):
        seen.append(name)
        yield

    with profiled(sections):
        predict(model, PICTURE, InferenceConfig(suppression="standard"))
    assert tuple(seen) == model.section_names


@pytest.mark.parametrize("suppression", ["standard", "fast"])
def test_no_detections(model, suppression):
    (found,) = predict(model, PICTURE, InferenceConfig(suppression=suppression, score_threshold=1.0))
    assert found.boxes.shape == (0, 4)
    assert (found.masks is None) == isinstance(model.config, FasterRCNNConfig)
    assert found.masks is None or found.masks.shape == (0, 40, 56)


def test_another_suppression_is_refused(model):
    with pytest.raises(ConfigError, match="choose 'standard' or 'fast'"):
        predict(model, PICTURE, InferenceConfig(suppression="cross_class"))


def test_export_is_refused(model, tmp_path):
    with pytest.raises(ExportError, match=f"{type(model).__name__} can't be exported"):
        export_model(model, tmp_path / "net.pt2", "torch")


def test_images_of_a_batch_do_not_depend_on_each_other(model):
    inference = InferenceConfig(suppression="standard", score_threshold=0.2)
    pictures = [*PICTURE, PICTURE[0].flip(2)]
    alone = [predict(model, [picture], inference)[0] for picture in pictures]
    for one, other in zip(predict(model, pictures, inference), alone, strict=True):
        assert len(one) == len(other)
        for name, value in vars(one).items():
            if value is not None:
                torch.testing.assert_close(value, getattr(other, name))
