"""Durations and sizes in words."""

import pytest

from yolact.runtime.units import duration, readable_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (999 * 2**20, "999.0 MiB"),
        (19.3 * 2**30, "19.3 GiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_sizes(count, text):
    assert readable_size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text
