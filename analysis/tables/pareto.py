"""Which variants no other one beats in both accuracy and latency."""

from __future__ import annotations

from collections.abc import Mapping


def front(points: Mapping[str, tuple[float, float]]) -> tuple[str, ...]:
    """The Pareto front, the fastest first.

    Args:
        points: {name: (latency, accuracy)}; less latency and more accuracy are better.

    Returns:
        The names that no other point dominates, that is, is at least as good in both and better in one. Equal points stand
        together.
    """
    kept = [name for name in points if dominator(points, name) is None]
    return tuple(sorted(kept, key=lambda name: (points[name], name)))


def dominator(points: Mapping[str, tuple[float, float]], name: str) -> str | None:
    """The most accurate point that dominates this one; None where it lies on the front."""
    latency, accuracy = points[name]
    better = [
        other
        for other, (time, height) in points.items()
        if time <= latency and height >= accuracy and (time, height) != (latency, accuracy)
    ]
    return max(better, key=lambda other: (points[other][1], -points[other][0], other), default=None)
