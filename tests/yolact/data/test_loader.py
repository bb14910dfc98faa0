"""The stream of batches is the same for any number of workers and any start."""

import random

import pytest
import torch

from tests.support.folders import annotation, dataset, image_record, write
from yolact.config import AugmentationConfig
from yolact.config.data import ShapesConfig
from yolact.data import loader
from yolact.data.coco import CocoSplit
from yolact.data.findings import DatasetError
from yolact.data.loader import TrainingBatches, derived_seed
from yolact.data.synthetic.shapes import generate_shapes
from yolact.errors import UserError


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, ShapesConfig(image_size=64, train=10, val=1, test=1))
    return CocoSplit(folder / "train", folder / "annotations" / "instances_train.json")


def batches(split, **changes):
    settings = {"augmentation": AugmentationConfig(), "image_size": 32, "batch_size": 3, "seed": 4, "iterations": 8}
    return list(TrainingBatches(split, **{**settings, **changes}))


def same(first, second):
    if len(first) != len(second):
        return False
    for (images, targets), (others, expected) in zip(first, second, strict=True):
        pairs = [(images, others)]
        for a, b in zip(targets, expected, strict=True):
            pairs += [(a.boxes, b.boxes), (a.labels, b.labels), (a.masks, b.masks), (a.crowd, b.crowd)]
            if (a.image_id, a.seed) != (b.image_id, b.seed):
                return False
        if not all(torch.equal(a, b) for a, b in pairs):
            return False
    return True


def ids(found):
    return [target.image_id for _, targets in found for target in targets]


def test_shapes_and_length(split):
    found = batches(split)
    assert len(found) == 8 == len(TrainingBatches(split, None, 32, 3, 4, iterations=8))
    images, targets = found[0]
    assert (images.shape, images.dtype, len(targets)) == ((3, 3, 32, 32), torch.float32, 3)


@pytest.mark.parametrize("pinned", [False, True])
def test_page_locked_memory_is_the_library_s_work(split, monkeypatch, pinned):
    monkeypatch.setattr(loader, "DataLoader", lambda *_, pin_memory, **__: [pin_memory])
    assert batches(split, pinned=pinned) == [pinned]


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 2}], ids=["1 worker", "2 workers"])
def test_workers_change_nothing(split, changes):
    assert same(batches(split), batches(split, **changes))


@pytest.mark.parametrize("start", [0, 1, 4, 7, 8])
def test_a_later_start_continues_the_stream(split, start):
    assert same(batches(split)[start:], batches(split, start_iteration=start))


def test_the_global_generators_play_no_part(split):
    torch.manual_seed(1)
    before, python = torch.get_rng_state(), random.getstate()
    first = batches(split)
    assert torch.equal(torch.get_rng_state(), before) and random.getstate() == python
    torch.manual_seed(2)
    assert same(first, batches(split))


def test_every_epoch_shows_every_image_once_in_another_order(split):
    annotated = sorted(image_id for image_id in split.image_ids if split.count(image_id))
    n = len(annotated)
    order = ids(batches(split, batch_size=1, iterations=3 * n))
    epochs = [order[start : start + n] for start in range(0, 3 * n, n)]
    assert all(sorted(epoch) == annotated for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_may_be_larger_than_the_data_set(split):
    (images, targets), *_ = batches(split, batch_size=25, iterations=1)
    assert len(images) == len(targets) == 25


def test_the_same_image_is_augmented_anew_in_each_epoch(split):
    found = batches(split, batch_size=1, iterations=40)
    seeds = [(t.image_id, t.seed) for _, targets in found for t in targets]
    assert len(set(seeds)) == 40


def test_seeds_are_golden():
    """First eight bytes of SHA-256 of "sample:0:1:2" (coreutils' sha256sum), halved."""
    assert derived_seed("sample", 0, 1, 2) == 1013867789783176235
    assert derived_seed("sample", 0, 1, 2) != derived_seed("sample", 0, 12)


def test_images_without_annotations(tmp_path):
    split = CocoSplit(*write(tmp_path))
    assert set(ids(batches(split))) == {1}
    assert set(ids(batches(split, skip_empty=False))) == {1, 2}


def test_nothing_to_train_on(tmp_path):
    split = CocoSplit(*write(tmp_path, dataset(annotations=[])))
    with pytest.raises(DatasetError, match="no image of the training split"):
        batches(split)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_is_one_clear_error(tmp_path, workers):
    data = dataset(images=[image_record(1)], annotations=[annotation()])
    images, annotations = write(tmp_path, data)
    split = CocoSplit(images, annotations)
    (images / "1.png").write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        batches(split, workers=workers)
    assert str(caught.value).startswith(str(images / "1.png")) and "Traceback" not in str(caught.value)


def test_the_cache_is_bounded_and_changes_nothing(split, monkeypatch):
    expected = batches(split)
    for room in (0, 12_000):
        monkeypatch.setattr(loader, "CACHE_BYTES", room)
        stream = TrainingBatches(split, AugmentationConfig(), 32, 3, 4, iterations=8)
        assert same(list(stream), expected)
        kept = stream._stream._cache.values()
        assert sum(image.numel() + instances.patches.bytes for image, instances in kept) <= room


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_processes_parts_together_are_the_batch(split, ranks, start):
    whole = batches(split, batch_size=6, start_iteration=start)
    parts = [batches(split, batch_size=6, start_iteration=start, rank=rank, ranks=ranks) for rank in range(ranks)]
    for (images, targets), pieces in zip(whole, zip(*parts, strict=True), strict=True):
        together = torch.cat([some for some, _ in pieces]), [target for _, some in pieces for target in some]
        assert same([(images, targets)], [together])
        assert {len(some) for some, _ in pieces} == {6 // ranks}


def test_a_batch_that_cannot_be_split_equally_is_refused(split):
    with pytest.raises(UserError, match="batch of 3 images can't be split equally over 2 processes"):
        batches(split, rank=0, ranks=2)
