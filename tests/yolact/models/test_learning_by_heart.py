"""Eight images learned by heart: what a network and its loss can do at all."""

import pytest
import torch

from tests.support.networks import (
    SIZE,
    TINY_CENTERNET,
    TINY_MASK2FORMER,
    TINY_SOLOV2,
    TINY_YOLOV3,
    predict,
    random_batch,
    tiny_model,
)
from yolact.config import InferenceConfig, TrainingConfig
from yolact.data.coco import index
from yolact.evaluation.coco import evaluate
from yolact.evaluation.results import to_records
from yolact.ops import rle
from yolact.structures import Target
from yolact.training.loop import train

SGD = TrainingConfig(batch_size=8, lr=0.01, warmup_iterations=20, warmup_lr=1e-3, milestones=(0.7,), log_every=20)
LARGER_SOLOV2 = TINY_SOLOV2.replace(head=TINY_SOLOV2.head.replace(convs=2, width=32), channels=32)
ADAM = SGD.replace(optimizer="adam", lr=2e-3, weight_decay=0.0)


def scenes():
    """Ellipses on noise, those of a class in its own colour; the later ones lie on top."""
    images, targets = random_batch(5, images=8, n=2)
    images = images * 0.3
    colours = torch.tensor([[250.0, 40, 40], [40, 250, 40], [40, 40, 250]])
    found = []
    for image, own in zip(images, targets, strict=True):
        masks = own.masks.clone()
        masks[0] *= 1 - masks[1]
        for mask, label in zip(masks, own.labels, strict=True):
            image[:, mask.bool()] = colours[label][:, None]
        found.append(Target(own.boxes, own.labels, masks, own.crowd, own.image_id, own.seed))
    return images, found


def annotations(targets):
    data = {"images": [], "annotations": [], "categories": [{"id": i + 1, "name": str(i)} for i in range(3)]}
    for own in targets:
        data["images"].append({"id": own.image_id, "file_name": "", "width": SIZE, "height": SIZE})
        for box, label, mask in zip(own.boxes.tolist(), own.labels.tolist(), own.masks, strict=True):
            x1, y1, x2, y2 = box
            (encoded,) = rle.encode(mask[None].bool().numpy())
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": own.image_id,
                    "category_id": label + 1,
                    "iscrowd": 0,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(mask.sum()),
                    "segmentation": encoded,
                }
            )
    return index(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "training", "iou_type"),
    [
        pytest.param(TINY_YOLOV3, SGD.replace(iterations=200), "bbox", id="yolov3"),
        pytest.param(TINY_CENTERNET, ADAM.replace(iterations=600), "bbox", id="centernet"),
        pytest.param(
            LARGER_SOLOV2, SGD.replace(iterations=300, lr=0.02, gradient_clip=35.0), "segm", id="solov2"
        ),  # SOLO 10.10
        pytest.param(TINY_MASK2FORMER, ADAM.replace(iterations=300, optimizer="adamw"), "segm", id="mask2former"),
    ],
)
def test_eight_images(config, training, iou_type):
    if config is TINY_MASK2FORMER:
        pytest.importorskip("transformers")
        config = config.replace(backbone=config.backbone.replace(freeze_bn=False))
    images, targets = scenes()
    model = tiny_model(config)
    history = train(model, lambda start: iter(lambda: (images, targets), None), training)
    assert history.rows[-1]["loss"] < history.rows[0]["loss"] / 3
    inference = InferenceConfig(**config.inference_defaults)
    found = predict(model, list(images.round().to(torch.uint8)), inference)
    records = [record for own, each in zip(targets, found, strict=True) for record in to_records(each, own.image_id, [1, 2, 3])]
    assert evaluate(annotations(targets), records, iou_type).metrics["AP50"] > 0.9
