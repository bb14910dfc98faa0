"""The benchmark of scaling in miniature, and its parts."""

import csv

import pytest

from benchmarks.common.memory import peaks
from benchmarks.common.sized import Size, prepare, sized
from benchmarks.scale import scaling


@pytest.mark.slow
def test_the_command_writes_every_configuration_of_every_sweep_and_a_picture(tmp_path):
    scaling.main(["--tiny", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "scaling.csv").open()))
    asked = [(sweep, str(value)) for sweep, values in scaling.TINY_SWEEPS.items() for value in values]
    assert sorted((row["sweep"], row[row["sweep"]]) for row in rows) == sorted(asked)
    assert {"batch", "image_size", "k", "detections", "classes", "found", "precision", "median_ms", "p25_ms", "p75_ms", "n",
            "per_image_ms", "peak_mib", "base_mib", "hardware", "threads", "torch", "date"} <= set(rows[0])  # fmt: skip
    assert all(row["found"] == row["detections"] for row in rows)
    assert (tmp_path / "scaling.png").stat().st_size > 10_000


def test_the_published_configuration_is_measured_once_and_belongs_to_every_sweep():
    found = scaling.configurations(scaling.SWEEPS)
    assert found[Size()] == list(scaling.SWEEPS)
    assert len(found) == sum(len(values) - 1 for values in scaling.SWEEPS.values()) + 1


@pytest.mark.parametrize("size", [Size(detections=3), Size(batch=2, classes=1), Size(image_size=1100, k=4)])
def test_as_many_are_found_as_asked_for(size):
    found = prepare(size, "cpu", tiny=True)()
    assert [len(each) for each in found] == [size.detections] * size.batch
    assert all(each.masks.shape == (size.detections, 48, 64) for each in found)


def test_a_size_changes_what_it_names():
    preset = sized(Size(image_size=400, k=8, classes=20))
    assert (preset.model.image_size, preset.model.mask_branch.k, preset.num_classes) == (400, 8, 20)
    assert preset.model.anchors.scales[0] == (17,)


def hold(mebibytes):
    return bytearray(mebibytes * 2**20)


def test_peak_memory_is_that_of_the_work_alone():
    few, many = peaks(hold, [(1,), (200,)], "cpu", 1)
    if many["peak_mib"] is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert 190 < many["peak_mib"] - many["base_mib"] < 230
    assert few["peak_mib"] - few["base_mib"] < 30  # and not what the process before it held
