"""What differs between a golden file and a new recording (`tests/golden/record.py`), in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Recording = Mapping[str, Any]
Stage = Mapping[str, Any]
MOST_TITLES = 3
"""Uses of a stage that are named in one line."""


def same_machine(golden: Recording, found: Recording) -> bool:
    """Whether bytes can be compared: processor, instructions and versions are equal."""
    return golden["made_on"] == found["made_on"]


def differences(golden: Recording, found: Recording, allowed: Mapping[str, str]) -> list[str]:
    """One line per stage and thing that differs, in the order of the golden file; none where all is as it was.

    Ids and names of files are always compared, bytes where `same_machine`. A stage whose files hold times has an id of its
    machine, which is compared there alone.

    Args:
        allowed: {kind: reason}. Stages of these kinds may have other ids and files. What builds on them has other ids by
            that, but must make the same bytes unless its kind is allowed too.
    """
    was, now = _by_use(golden), _by_use(found)
    same, below = same_machine(golden, found), _below(golden, allowed)
    known = {stage["kind"] for stage in golden["stages"]}
    lines = [f"allowed: {kind!r} is no kind of the golden file" for kind in allowed if kind not in known]
    uses: dict[str, list[str]] = {}
    for use in {**was, **now}:
        for line in _of_stage(was.get(use), now.get(use), same, allowed, below):
            uses.setdefault(line, []).append(_title(use))
    return lines + [f"{_few(titles)}: {line}" for line, titles in uses.items()]


def _of_stage(was: Stage | None, now: Stage | None, same: bool, allowed: Mapping[str, str], below: set[str]) -> Iterator[str]:
    if now is None:
        assert was is not None
        yield f"{was['id']} is missing"
        return
    if was is None:
        yield f"{now['id']} is not in the golden file"
        return
    kind = was["kind"]
    if kind in allowed:
        return
    timed = None in was["files"].values()
    if was["id"] != now["id"] and kind not in below and (same or not timed):
        yield f"id changed from {was['id']} to {now['id']}"
    for name in {**was["files"], **now["files"]}:
        if name not in now["files"]:
            yield f"{was['id']}: {name} is missing"
        elif name not in was["files"]:
            yield f"{was['id']}: {name} is new"
        elif same and was["files"][name] != now["files"][name]:
            yield f"{was['id']}: {name} has other bytes ({_short(was, name)} before, {_short(now, name)} now)"


def _by_use(recording: Recording) -> dict[tuple[str, str, int, str], Stage]:
    return {(stage["experiment"], stage["variant"], stage["seed"], stage["kind"]): stage for stage in recording["stages"]}


def _below(recording: Recording, kinds: Mapping[str, str]) -> set[str]:
    """Kinds that build on these, directly or not."""
    found: set[str] = set()
    while True:
        more = {stage["kind"] for stage in recording["stages"] if {*kinds, *found} & set(stage["inputs"])} - found
        if not more:
            return found
        found |= more


def _title(use: tuple[str, str, int, str]) -> str:
    experiment, variant, seed, kind = use
    return f"{experiment} · {variant} · seed {seed} · {kind}"


def _few(titles: list[str]) -> str:
    more = len(titles) - MOST_TITLES
    return "; ".join(titles[:MOST_TITLES]) + (f"; and {more} more" if more > 0 else "")


def _short(stage: Stage, name: str) -> str:
    return str(stage["files"][name])[:12]
