"""Prototypes kept for the report: which images, which detections, in which arrays."""

import json

import numpy as np
import pytest
import torch

from tests.support.declared import assert_as_declared
from tests.support.looks import planted_look
from yolact.config import InferenceConfig
from yolact.measures.context import Look, Stopped
from yolact.measures.prototypes import MEASURE, PrototypesConfig
from yolact.measures.prototypes.measure import measure, most_annotated, picture_worthy
from yolact.structures import Detections


class FakeSplit:
    class_names = ("disc", "Stern ä")
    counts = {4: 2, 9: 5, 1: 5, 7: 0}  # noqa: RUF012
    image_ids = (1, 4, 7, 9)

    def image(self, image_id):
        return torch.full((3, 6, 8 + image_id), image_id, dtype=torch.uint8)

    def count(self, image_id):
        return self.counts[image_id]


class FakeModel:
    """Gives 30 detections, 25 of them above the threshold; masks are assembled from its prototypes."""

    def __init__(self, k=3):
        self.k = k

    def predict(self, images, inference):
        generator = torch.Generator().manual_seed(0)
        scores = torch.cat([torch.linspace(0.9, 0.15, 25), torch.full((5,), 0.1)])
        coefficients = torch.rand(30, self.k, generator=generator) if self.k else None
        return [
            Detections(
                boxes=torch.rand(30, 4, generator=generator),
                scores=scores,
                labels=torch.arange(30) % 2,
                masks=torch.rand(30, *images[0].shape[-2:], generator=generator) > 0.5,
                coefficients=coefficients,
                prototypes=torch.rand(self.k, 4, 5, generator=generator) if self.k else None,
            )
        ]


def run(folder, model, images=2):
    summary = measure(folder, planted_look(model, FakeSplit()), PrototypesConfig(images=images))
    assert_as_declared(MEASURE, folder)
    with np.load(folder / "prototypes.npz", allow_pickle=False) as file:
        return summary, dict(file)


@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (3, [1, 9, 4]), (9, [1, 9, 4, 7])])
def test_images_with_most_annotations_come_first_then_lower_ids(count, expected):
    assert most_annotated(FakeSplit(), count) == expected


def test_the_arrays_have_the_contracts_names_shapes_and_types(tmp_path):
    _, arrays = run(tmp_path, FakeModel())
    forms = {
        "image": ((6, 17, 3), np.uint8),
        "prototypes": ((3, 4, 5), np.float32),
        "coefficients": ((20, 3), np.float32),
        "masks": ((20, 6, 17), bool),
        "boxes": ((20, 4), np.float32),
        "scores": ((20,), np.float32),
        "labels": ((20,), np.int64),
    }
    assert {name: (arrays[f"1_{name}"].shape, arrays[f"1_{name}"].dtype) for name in forms} == forms
    assert arrays["image_ids"].tolist() == [1, 9]
    assert arrays["class_names"].tolist() == ["disc", "Stern ä"]
    assert len(arrays) == 2 + 2 * len(forms)
    assert (arrays["1_image"] == 9).all()


def test_only_one_image_is_held_at_a_time(tmp_path):
    """Each image's arrays are in the file before the next image is read."""
    written = []

    class Watching(FakeSplit):
        def image(self, image_id):
            (aside,) = tmp_path.glob(".prototypes.npz.*")
            written.append(aside.stat().st_size)
            return torch.randint(0, 256, (3, 300, 300), dtype=torch.uint8)

    measure(tmp_path, planted_look(FakeModel(), Watching()), PrototypesConfig(images=3))
    assert written == sorted(set(written)) and written[2] > written[1] + 3 * 300 * 300


def test_asked_to_stop_it_leaves_no_file(tmp_path):
    look = planted_look(FakeModel(), FakeSplit(), should_stop=lambda: True)
    with pytest.raises(Stopped, match="0 of 2"):
        measure(tmp_path, look, PrototypesConfig(images=2))
    assert not list(tmp_path.iterdir())


def test_a_model_without_prototypes_leaves_them_out(tmp_path):
    summary, arrays = run(tmp_path, FakeModel(k=0))
    assert not [name for name in arrays if name.endswith(("prototypes", "coefficients"))]
    assert "0_masks" in arrays and summary["images"][0]["prototypes"] is None


def test_the_summary_counts_what_was_found_and_kept(tmp_path):
    summary, _ = run(tmp_path, FakeModel())
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    expected = {"image_id": 1, "height": 6, "width": 9, "found": 30, "kept": 20, "prototypes": [3, 4, 5]}
    assert summary["images"][0] == expected


def test_the_threshold_itself_is_kept():
    few = Detections(torch.zeros(2, 4), torch.tensor([0.15, 0.1499]), torch.zeros(2), torch.zeros(2, 1, 1, dtype=torch.bool))
    assert len(picture_worthy(few)) == 1


def test_the_same_run_gives_the_same_bytes(tmp_path):
    for name in "ab":
        run(tmp_path / name, FakeModel())
    for name in ("prototypes.npz", "summary.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_yolacts_masks_are_its_kept_prototypes_times_coefficients(tmp_path):
    from yolact.config import AnchorConfig, BackboneConfig, FPNConfig, PrototypeConfig, YolactConfig
    from yolact.models.build import build_model
    from yolact.ops.mask_assembly import assemble
    from yolact.ops.masks import binarize

    config = YolactConfig(
        image_size=64,
        backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4),
        fpn=FPNConfig(channels=8),
        anchors=AnchorConfig(scales=((8,), (16,), (24,), (32,), (48,))),
        mask_branch=PrototypeConfig(k=3, channels=8, depth=1),
    )
    torch.manual_seed(0)
    model = build_model(config, num_classes=2).eval()
    uncropped = InferenceConfig(score_threshold=0.0, crop=False)
    measure(tmp_path, Look(model, FakeSplit(), uncropped, "cpu"), PrototypesConfig(images=1))
    with np.load(tmp_path / "prototypes.npz", allow_pickle=False) as file:
        prototypes, coefficients = torch.from_numpy(file["0_prototypes"]), torch.from_numpy(file["0_coefficients"])
        masks = file["0_masks"]
    assert len(masks) > 0
    assert np.array_equal(binarize(assemble(prototypes, coefficients), masks.shape[1:]).numpy(), masks)
