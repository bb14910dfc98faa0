"""What the gallery shows: assembly, statistics, the page's data and the figures for papers."""

from __future__ import annotations

import base64
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from analysis.gallery.encode import LONGEST_SIDE, encode, quantised
from analysis.measures.prototypes.assembly import contributions, strip, windows
from analysis.measures.prototypes.read import Assembly, KeptImage, open_kept
from analysis.measures.prototypes.strips import assembly_strip, prototype_sheet
from analysis.measures.prototypes.use import prototype_statistics
from analysis.results.experiment import MissingResult
from tests.support.results import made_up
from yolact.ops.mask_assembly import crop


def one(prototypes, coefficients, boxes=((0, 0, 8, 8),), size=(8, 8)) -> KeptImage:
    n = len(coefficients)
    return KeptImage(
        image_id=5,
        image=np.zeros((*size, 3), np.uint8),
        prototypes=np.array(prototypes, np.float32),
        coefficients=np.array(coefficients, np.float32).reshape(n, len(prototypes)),
        masks=np.zeros((n, *size), bool),
        boxes=np.array(boxes, np.float32).reshape(n, 4),
        scores=np.full(n, 0.5, np.float32),
        labels=np.zeros(n, np.int64),
    )


EIGHTHS = st.tuples(st.integers(0, 8 * 16), st.integers(0, 8 * 16)).map(sorted)


@settings(deadline=None)
@given(x=EIGHTHS, y=EIGHTHS, padding=st.integers(0, 3))
def test_windows_are_what_the_network_crops_by(x, y, padding):
    """Powers of two throughout, so that both compute without rounding, also where an edge falls on a pixel's."""
    image = one(np.ones((1, 8, 4)), [[1]], [np.array([x[0], y[0], x[1], y[1]]) / 8], size=(16, 16))
    expected = crop(torch.ones(1, 8, 4), torch.from_numpy(image.boxes / 16), padding)[0].numpy() > 0
    left, top, right, bottom = windows(image, padding)[0]
    found = np.zeros((8, 4), bool)
    found[top:bottom, left:right] = True
    assert np.array_equal(found, expected)


def test_contribution_is_the_mean_movement_inside_the_window():
    maps = np.zeros((2, 4, 4))
    maps[0], maps[1, :, 2:] = 3, -8
    image = one(maps, [[-0.5, 0.25], [1, 0]], [(0, 0, 8, 8), (0, 0, 0, 0)])
    assert contributions(image, 0).tolist() == [[1.5, 1.0], [0.0, 0.0]]


def test_a_strip_starts_with_the_largest_term_and_ends_with_the_networks_mask(tmp_path):
    kept = open_kept(made_up.write(tmp_path))
    image = kept.image(101)
    for instance in range(3):
        steps = strip(image, instance, kept.assembly)
        weight = contributions(image, 1)[instance]
        assert steps.order.tolist() == sorted(range(4), key=lambda number: -weight[number])
        logits = np.tensordot(image.coefficients[instance], image.prototypes, 1)
        assert np.allclose(steps.sums[-1], logits, atol=1e-5)
        assert np.allclose(steps.sums[1], steps.terms[0] + steps.terms[1])
        assert np.allclose(steps.probability, 1 / (1 + np.exp(-logits)), atol=1e-6)
        mask = (steps.cropped > 0.5).repeat(4, 0).repeat(8, 1)
        assert np.array_equal(mask, image.masks[instance])


def test_a_network_that_does_not_crop_is_not_cropped(tmp_path):
    kept = open_kept(made_up.write(tmp_path, crop=False))
    steps = strip(kept.image(101), 0, kept.assembly)
    assert np.array_equal(steps.cropped, steps.probability)


def test_extreme_logits_give_0_and_1_without_overflow():
    steps = strip(one(np.full((1, 2, 2), 1e6), [[-1]]), 0, Assembly(False, 1, 0.5))
    assert steps.probability.max() == 0
    assert strip(one(np.full((1, 2, 2), 1e6), [[1]]), 0, Assembly(False, 1, 0.5)).probability.min() == 1


def test_statistics_of_a_case_done_by_hand(tmp_path):
    experiment = made_up.write(tmp_path)
    rewrite(tmp_path, {
        "image_ids": np.array([1, 2]), "class_names": np.array(["a"]),
        **arrays(0, [[[2.0, 2], [2, 2]], [[0, 0], [0, 0]]], [[0.5, -1]]),
        **arrays(1, [[[0.0, 0], [0, 4]], [[0, 0], [0, 0]]], [[-1.5, 1], [-0.5, 0]]),
    })  # fmt: skip
    table = prototype_statistics(experiment).set_index("prototype")
    assert table["use"].tolist() == pytest.approx([(0.5 * 2 + 1.5 * 1 + 0.5 * 1) / 3, 0])
    assert table["coefficient"].tolist() == pytest.approx([2.5 / 3, 2 / 3])
    assert table["positive"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert table["first"].tolist() == [1, 0]
    assert table["activation"].tolist() == [1.5, 0]
    assert (table["lowest"].tolist(), table["highest"].tolist()) == ([0, 0], [4, 0])
    assert table["silent"].tolist() == [0, 1]
    assert (table["instances"].iloc[0], table["images"].iloc[0]) == (3, 2)


def test_without_instances_use_is_undefined_and_nothing_breaks(tmp_path):
    experiment = made_up.write(tmp_path, images=1)
    table = prototype_statistics(experiment)
    assert table["use"].isna().all()
    assert table["highest"].notna().all()
    assert len(prototype_sheet(experiment).data) == 4
    with pytest.raises(MissingResult, match="no kept image has 1 instance"):
        assembly_strip(experiment)


def arrays(index, prototypes, coefficients):
    n = len(coefficients)
    return {
        f"{index}_image": np.zeros((2, 2, 3), np.uint8), f"{index}_prototypes": np.array(prototypes, np.float32),
        f"{index}_coefficients": np.array(coefficients, np.float32), f"{index}_masks": np.zeros((n, 2, 2), bool),
        f"{index}_boxes": np.tile(np.array([0, 0, 2, 2], np.float32), (n, 1)),
        f"{index}_scores": np.ones(n, np.float32), f"{index}_labels": np.zeros(n, np.int64)}  # fmt: skip


def rewrite(root, content):
    np.savez(root / "runs" / made_up.STAGE / "result" / "prototypes.npz", **content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "failed"}, "of plain were kept: prototypes failed"),
        ({"state": "planned"}, "of plain were kept: not run yet"),
        ({"measured": False}, "of plain were kept: not part of this run"),
        ({"k": 0}, "plain makes its masks without prototypes"),
    ],
)
def test_what_is_missing_is_said(options, message, tmp_path):
    experiment = made_up.write(tmp_path, **options)
    for look in (open_kept, prototype_statistics, prototype_sheet, assembly_strip):
        with pytest.raises(MissingResult, match=message):
            look(experiment)


def test_a_damaged_file_is_named(tmp_path):
    experiment = made_up.write(tmp_path)
    (tmp_path / "runs" / made_up.STAGE / "result" / "prototypes.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(
        MissingResult, match=rf"prototypes\.npz of {made_up.STAGE} cannot be read: .* `yolact results rm {made_up.STAGE}`"
    ):
        open_kept(experiment)


def picture(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_pages_data_give_back_prototypes_masks_and_numbers(tmp_path):
    kept = open_kept(made_up.write(tmp_path, images=2, k=5))
    image = kept.image(101)
    data = json.loads(json.dumps(encode(image, kept.assembly, kept.class_names)))
    sprite = np.asarray(picture(data["sprite"]).convert("L"))
    assert sprite.shape == (2 * 8, 3 * 8)
    low, high = np.array(data["low"]), np.array(data["high"])
    for number in range(5):
        row, column = divmod(number, data["columns"])
        level = sprite[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] / 255
        back = low[number] + level * (high[number] - low[number])
        assert np.abs(back - image.prototypes[number]).max() <= 0.51 * (high[number] - low[number]) / 255 + 1e-3
    masks = np.asarray(picture(data["masks"])).reshape(3, 32, 64)
    assert np.array_equal(masks, image.masks)
    assert data["names"] == ["circle", "Stern <ä>", "circle"]
    assert np.allclose(data["boxes"], 3 * [[0.25, 0.25, 0.5, 0.5]])
    assert data["windows"] == 3 * [[1, 1, 5, 5]]
    assert np.allclose(data["coefficients"], image.coefficients, rtol=1e-3)


def test_large_photos_are_made_smaller_with_their_masks(tmp_path):
    kept = open_kept(made_up.write(tmp_path, size=(1024, 2048)))
    data = encode(kept.image(101), kept.assembly, kept.class_names)
    assert picture(data["photo"]).size == (LONGEST_SIDE, LONGEST_SIDE // 2)
    assert picture(data["masks"]).size == (LONGEST_SIDE, 3 * LONGEST_SIDE // 2)


def test_a_constant_prototype_is_black():
    assert quantised(np.full((1, 2, 2), 7, np.float32)).max() == 0


def test_prototypes_that_are_not_finite_are_drawn_as_0(tmp_path):
    experiment = made_up.write(tmp_path)
    rewrite(tmp_path, {"image_ids": np.array([1]), "class_names": np.array(["a"]),
                       **arrays(0, [[[math.nan, math.inf], [1, 0]]], [[1.0]])})  # fmt: skip
    assert open_kept(experiment).image(1).prototypes.tolist() == [[[0, 0], [1, 0]]]


@pytest.mark.parametrize("draw", [assembly_strip, prototype_sheet])
def test_figures_have_files_caption_and_description(draw, tmp_path):
    drawn = draw(made_up.write(tmp_path))
    drawn.save(tmp_path)
    assert {path.suffix for path in tmp_path.glob(f"{drawn.name}.*")} == {".png", ".svg", ".csv"}
    assert "plain, seed 7" in drawn.caption and "made up (test)" in drawn.caption
    assert drawn.alt
    assert isinstance(drawn.data, pd.DataFrame) and len(drawn.data) == 4


def test_a_strips_numbers_add_up(tmp_path):
    data = assembly_strip(made_up.write(tmp_path), image_id=101, instance=2).data
    assert data["share"].sum() == pytest.approx(1)
    assert (data["contribution"].diff().dropna() <= 0).all()


@pytest.mark.parametrize(
    ("image_id", "message"), [(100, "image 100 has 0 instances"), (9, "image 9 was not kept; kept are 100")]
)
def test_a_strip_of_nothing_is_refused(image_id, message, tmp_path):
    with pytest.raises(MissingResult, match=message):
        assembly_strip(made_up.write(tmp_path), image_id=image_id)
