"""A data set recompressed as JPEG."""

import json

import pytest
from PIL import Image

from benchmarks.gpu.data import recompress
from experiments.datasets.coco_folder import folder_dataset
from yolact.errors import UserError


def coco_folder(root, file_name="a b.png"):
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    Image.linear_gradient("L").resize((20, 10)).save(root / "images" / "a b.png")
    for split in ("train", "val"):
        image = {"id": 7, "file_name": file_name, "width": 20, "height": 10}
        box = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
        box["segmentation"] = [[1, 1, 5, 1, 5, 5, 1, 5]]
        data = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "nucleus"}]}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(data))
    return root


def test_a_recompressed_data_set_holds_the_same_masks_and_nearly_the_same_pixels(tmp_path):
    source, target = coco_folder(tmp_path / "source"), tmp_path / "nuclei-jpeg"
    assert recompress(source, target) == recompress(source, target) == 2
    dataset = folder_dataset(target)
    assert dataset.name == "nuclei-jpeg" and set(dataset.splits) == {"train", "val"}
    dataset.ensure(tmp_path / "data")
    kept = json.loads((target / "annotations" / "instances_val.json").read_text())
    assert kept["annotations"] == json.loads((source / "annotations" / "instances_val.json").read_text())["annotations"]
    with Image.open(source / "images" / "a b.png") as before, Image.open(target / "images" / "7.jpg") as after:
        assert after.mode == "L"
        assert max(abs(x - y) for x, y in zip(before.tobytes(), after.tobytes(), strict=True)) < 10


@pytest.mark.parametrize(
    ("file_name", "message"), [("../a.png", "leads out of the folder"), ("/etc/passwd", "leads out of the folder")]
)
def test_recompressing_stays_in_the_folder(tmp_path, file_name, message):
    with pytest.raises(UserError, match=message):
        recompress(coco_folder(tmp_path / "source", file_name), tmp_path / "target")
    assert not (tmp_path / "target").exists()
