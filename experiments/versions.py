"""Installed versions against the ranges that a project names, for the plain ranges that this one uses."""

from __future__ import annotations

import re
from importlib import metadata


def requirement(text: str) -> tuple[str, str]:
    """`numpy>=1.26` -> ("numpy", ">=1.26")"""
    match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*([^;]*)", text)
    assert match is not None
    return match[1], match[2].strip(" ()")


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version lies in a range such as `>=3.11,<4`; clauses of other kinds count as satisfied."""
    for clause in filter(None, wanted.split(",")):
        match = re.match(r"\s*(>=|<=|==|!=|<|>)\s*([\d.]+)\s*$", clause)
        if match and not _compare(_numbers(version), match[1], _numbers(match[2])):
            return False
    return True


def _compare(version: tuple[int, ...], sign: str, bound: tuple[int, ...]) -> bool:
    length = max(len(version), len(bound))
    a, b = version + (0,) * (length - len(version)), bound + (0,) * (length - len(bound))
    return {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, "<": a < b, ">": a > b}[sign]


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def installed(name: str) -> bool:
    """Whether a distribution is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
