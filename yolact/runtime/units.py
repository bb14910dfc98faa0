"""Durations and sizes in words, with one unit system for the whole project: binary prefixes, as memory and SLURM count."""

from __future__ import annotations

_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def readable_size(count: float) -> str:
    """`512 bytes`, `1.5 MiB`, `19.3 GiB`."""
    unit = 0
    while count >= 999.95 and unit < len(_SIZES) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_SIZES[unit]}" if unit == 0 else f"{count:.1f} {_SIZES[unit]}"
