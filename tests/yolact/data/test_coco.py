"""What a split says of its images and instances."""

import copy
import re

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.support import paths
from tests.support.folders import SQUARE, annotation, dataset, image_record, pixels, write
from yolact.data.coco import CocoSplit
from yolact.data.findings import DatasetError

SHARED = paths.SHARED / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")


def forms():
    """The same square as polygon, uncompressed RLE and compressed RLE; the last is a crowd."""
    square = np.zeros((20, 30), bool)
    square[3:13, 2:12] = True
    runs = [43] + [10, 10] * 9 + [10, 600 - 43 - 190]
    rle = {"size": [20, 30], "counts": runs}
    compressed = {"size": [20, 30], "counts": coco_mask.encode(np.asfortranarray(square, np.uint8))["counts"].decode()}
    return square, [
        annotation(5, segmentation=copy.deepcopy(SQUARE)),
        annotation(6, segmentation=rle, category_id=7),
        annotation(7, segmentation=compressed, iscrowd=1),
    ]


def test_instances_of_all_three_forms(tmp_path):
    square, annotations = forms()
    split = CocoSplit(*write(tmp_path, dataset(annotations=annotations)))
    found = split.instances(1)
    assert found.masks.dtype == torch.uint8 and found.masks.shape == (3, 20, 30)
    assert all(np.array_equal(mask, square) for mask in found.masks.bool().numpy())
    assert found.boxes.dtype == torch.float32 and found.boxes.tolist() == [[2, 3, 12, 13]] * 3
    assert found.labels.dtype == torch.int64 and found.labels.tolist() == [0, 1, 0]  # ids 3 and 7 become 0 and 1
    assert found.crowd.dtype == torch.bool and found.crowd.tolist() == [False, False, True]


def test_labels_follow_ascending_ids(tmp_path):
    split = CocoSplit(*write(tmp_path))
    assert (split.category_ids, split.class_names) == ([3, 7], ["square", "dot"])


def test_image_ids_sizes_and_pixels(tmp_path):
    images = [image_record(40, file_name="2.png"), image_record(9, file_name="1.png")]
    split = CocoSplit(*write(tmp_path, dataset(images=images, annotations=[annotation(image_id=9)])))
    assert split.image_ids == [9, 40] and len(split) == 2
    assert split.size(9) == (20, 30)
    assert np.array_equal(split.image(9).permute(1, 2, 0).numpy(), pixels(seed=51))
    assert (split.count(9), split.count(40)) == (1, 0)


def test_an_image_without_annotations(tmp_path):
    found = CocoSplit(*write(tmp_path)).instances(2)
    assert len(found) == 0
    assert (found.boxes.shape, found.labels.shape, found.masks.shape, found.crowd.shape) == ((0, 4), (0,), (0, 20, 30), (0,))
    assert (found.boxes.dtype, found.labels.dtype, found.crowd.dtype) == (torch.float32, torch.int64, torch.bool)


def test_boxes_are_clipped(tmp_path):
    split = CocoSplit(*write(tmp_path, dataset(annotations=[annotation(bbox=[-4, 3, 16, 40])])))
    assert split.instances(1).boxes.tolist() == [[0, 3, 12, 20]]


def test_ids_from_zero_shift_by_one(tmp_path):
    """COCOeval stores matched ids and reads 0 as unmatched."""
    split = CocoSplit(*write(tmp_path, dataset(annotations=[annotation(0), annotation(1)])))
    assert sorted(split.coco.anns) == [1, 2]


def test_pycocotools_prints_nothing(tmp_path, capsys):
    split = CocoSplit(*write(tmp_path))
    assert isinstance(split.coco, COCO) and capsys.readouterr().out == ""


def test_without_images(tmp_path):
    _, annotations = write(tmp_path)
    split = CocoSplit(None, annotations)
    assert len(split.instances(1)) == 1
    with pytest.raises(DatasetError, match="without an images folder"):
        split.image(1)


def test_unknown_image(tmp_path):
    with pytest.raises(DatasetError, match=re.escape("there is no image 77")):
        CocoSplit(*write(tmp_path)).size(77)


def test_an_image_that_breaks_after_loading(tmp_path):
    images, annotations = write(tmp_path)
    split = CocoSplit(images, annotations)
    (images / "1.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=re.escape(str(images / "1.png"))):
        split.image(1)


@needs_shared
@pytest.mark.parametrize(
    ("images", "annotations", "counts"),  # numbers from the READMEs of ../shared/data
    [
        ("coco_mix/val2017", "coco_mix/annotations/instances_val2017.json", (206, 1786, 80)),
        ("coco_mix/train2017", "coco_mix/annotations/instances_train2017.json", (343, 2974, 80)),
        (None, "evaluator_refs/instances_val2014_100.json", (100, 839, 80)),
        ("nuclei/images", "nuclei/annotations/instances_val.json", (100, 4915, 1)),
    ],
)
def test_published_data_load(images, annotations, counts):
    split = CocoSplit(images and SHARED / images, SHARED / annotations)
    assert (len(split), len(split.coco.anns), len(split.class_names)) == counts
    image_id = split.image_ids[0]
    for record, mask in zip(split.coco.imgToAnns[image_id], split.instances(image_id).masks, strict=True):
        assert np.array_equal(split.coco.annToMask(record), mask.numpy())
