"""The generated data set: the same bytes everywhere, hard in the way it promises, safe on disk."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from yolact.config.data import ShapesConfig
from yolact.data.check import check_splits
from yolact.data.coco import CocoSplit
from yolact.data.findings import DatasetError
from yolact.data.synthetic import shapes
from yolact.data.synthetic.scenes import CLASSES, draw_scene
from yolact.data.synthetic.shapes import SPLITS, encode_png, generate_shapes, render_image

SMALL = ShapesConfig(train=12, val=4, test=4)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def scenes():
    """The default set's scenes, a tenth of the training split and all of the others."""
    config = ShapesConfig()
    counts = {"train": 100, "val": config.val, "test": config.test}
    return {split: [render_image(config, split, index) for index in range(counts[split])] for split in SPLITS}


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for path in files:
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()


def test_golden_digest(small):
    """Of every file of the small set. If this changes, bump ShapesConfig.version."""
    assert digest(small) == "206c0170b10f040e9ed4889152334e05f3f1298e8cfe3beb42ca9f67b55e65bc"


def test_splits_differ_and_pictures_do_not_depend_on_counts(small):
    first = [(small / split / "000001.png").read_bytes() for split in SPLITS]
    assert len(set(first)) == 3
    assert first[0] == encode_png(render_image(ShapesConfig(), "train", 0).image)


def test_another_seed_gives_other_pictures():
    assert not np.array_equal(render_image(ShapesConfig(seed=2), "train", 0).image, render_image(SMALL, "train", 0).image)


@pytest.mark.parametrize("size", [64, 128, 200])
def test_other_sizes(size):
    scene = draw_scene(np.random.RandomState(5), size)
    assert scene.image.shape == (size, size, 3)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (128, 128), (400, 300)])
def test_png_is_read_back(shape):
    pixels = np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)
    image = Image.open(io.BytesIO(encode_png(pixels)))
    image.verify()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_the_check_finds_nothing_wrong(small):
    splits = {split: (small / split, small / "annotations" / f"instances_{split}.json") for split in SPLITS}
    assert [finding for finding in check_splits(splits) if "no annotation uses it" not in finding.what] == []


def test_annotations_are_the_masks(small):
    split = CocoSplit(small / "train", small / "annotations" / "instances_train.json")
    for image_id in split.image_ids:
        scene, found = render_image(SMALL, "train", image_id - 1), split.instances(image_id)
        assert np.array_equal(split.image(image_id).permute(1, 2, 0).numpy(), scene.image)
        assert [shape.label for shape in scene.shapes] == found.labels.tolist()
        assert all(np.array_equal(s.mask, m) for s, m in zip(scene.shapes, found.masks.bool().numpy(), strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_enough_instances_overlap_a_twin(scenes, split):
    """Box IoU above 0.05 and visible parts side by side, measured here apart from the generator, on decoded masks."""
    twins = total = 0
    for scene in scenes[split]:
        instances = [shape for shape in scene.shapes if not shape.crowd]
        for shape in instances:
            same = [s for s in instances if s is not shape and (s.label, s.colour) == (shape.label, shape.colour)]
            total += 1
            twins += any(boxes_overlap(shape.mask, other.mask) and adjacent(shape.mask, other.mask) for other in same)
    assert twins / total >= 0.40


def boxes_overlap(a, b):
    def corners(mask):
        ys, xs = np.nonzero(mask)
        return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])

    a, b = corners(a), corners(b)
    both = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both) > 0.05


def adjacent(a, b):
    padded = np.pad(a, 1)
    near = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return bool((near & b).any())


def test_the_stated_share_is_the_measured_one(small):
    for split in SPLITS:
        data = json.loads((small / "annotations" / f"instances_{split}.json").read_text())
        assert data["info"]["overlapping_same_class_and_colour"] >= 0.40


def test_variety(scenes):
    everything = [scene for split in SPLITS for scene in scenes[split]]
    shapes_ = [shape for scene in everything for shape in scene.shapes]
    areas = np.array([shape.mask.sum() for shape in shapes_ if not shape.crowd])
    assert (areas < 32**2).mean() > 0.3 and (areas > 32**2).mean() > 0.1 and (areas > 96**2).sum() >= 3
    assert {shape.label for shape in shapes_} == set(range(len(CLASSES)))
    assert sum(shape.crowd for shape in shapes_) >= 5
    assert 0.01 < np.mean([not scene.shapes for scene in everything]) < 0.08
    assert max(sum(not shape.crowd for shape in scene.shapes) for scene in everything) <= 7
    assert all(not (a.mask & b.mask).any() for scene in everything for a in scene.shapes for b in scene.shapes if a is not b)
    assert all(shape.mask.sum() >= 0.25 * shape.pixels for shape in shapes_)


def test_a_second_call_writes_nothing(small):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    generate_shapes(small, SMALL)
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


@pytest.mark.parametrize("fault", ["changed", "missing", "other settings", "no manifest", "broken manifest"])
def test_a_folder_that_is_not_the_data_set_is_left_alone(tmp_path, fault):
    config = ShapesConfig(train=2, val=1, test=1)
    folder = tmp_path / "shapes"
    generate_shapes(folder, config)
    if fault == "changed":
        (folder / "val" / "000001.png").write_bytes(b"x")
    elif fault == "missing":
        (folder / "val" / "000001.png").unlink()
    elif fault == "other settings":
        config = ShapesConfig(train=3, val=1, test=1)
    elif fault == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text("[]")
    before = digest(folder)
    with pytest.raises(DatasetError) as caught:
        generate_shapes(folder, config)
    assert str(folder) in str(caught.value)
    assert digest(folder) == before


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shapes, "render_image", full)
    with pytest.raises(DatasetError, match="No space left"):
        generate_shapes(tmp_path / "shapes", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_faster_process_wins(tmp_path, monkeypatch):
    """Another process publishes the same set between the start and the rename."""
    folder, write = tmp_path / "shapes", shapes._write
    config = ShapesConfig(train=2, val=1, test=1)

    def slow(temporary, config):
        write(temporary, config)
        if not folder.exists():
            monkeypatch.setattr(shapes, "_write", write)
            generate_shapes(folder, config)

    monkeypatch.setattr(shapes, "_write", slow)
    generate_shapes(folder, config)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]
