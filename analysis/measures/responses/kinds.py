"""The kinds of prototypes that the paper names, from what each was measured to respond to.

The paper sees prototypes that partition the image, localise instances, detect contours, encode "position-sensitive directional
maps", and segment the background; "most do a combination". Here every kind is a correlation in [0, 1], its strength:

    partition            with lying on one side of a vertical or horizontal line, the same line in all images
    position-sensitive   with the place in the image, where no such line explains half of it
    localising           with being inside an object, beyond what another image's objects give
    background           the same, turned round
    contour              with the band along objects' contours, against inside and outside alike
    directional          with one side of each object (left, lower left, ...), the same in all images
    constant             none: it is flat, or too faint to matter
    none                 none of these is found

A prototype is of the kind whose strength is greatest, and has every kind whose strength is at least the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

STRENGTHS = ("partition", "position-sensitive", "localising", "background", "contour", "directional")
"""Kinds with a strength; the order breaks ties."""
KINDS = (*STRENGTHS, "constant", "none")

SEEN = 0.3
"""Least strength of a kind. Squared it is a share of variance: what explains a tenth of it is seen in a picture. Shuffled
pixels give hundredths from some tens of images on; where they give more, more is asked for (`Bounds.chance`)."""
LINE = 0.5
"""Least share of what the place explains that one line must explain for a partition. A half plane has 1, a ramp 0.75, a corner
0.33, a blob in the middle less."""
FLAT = 0.1
"""A prototype whose pixels differ by less than this share of its root mean square is constant: it adds an offset to masks."""
FAINT = 0.01
"""So is one whose pixels differ by less than this share of what the liveliest prototype's do: it cannot move a mask."""


@dataclass(frozen=True)
class Bounds:
    """What strengths a network's prototypes are held against."""

    chance: float
    """The greatest strength among its prototypes with their pixels shuffled."""
    random: dict[str, float]
    """{kind: the greatest strength among prototypes of networks with random weights}."""
    drawn: int
    """How many such prototypes there are."""

    @property
    def seen(self) -> float:
        """The least strength that counts as seen."""
        return max(SEEN, self.chance)

    @property
    def by_luck(self) -> float:
        """Share of prototypes that go beyond `random` in some kind without having learned anything, at most on average."""
        return len(STRENGTHS) / (self.drawn + 1)


def strengths(measured: pd.DataFrame) -> pd.DataFrame:
    """One row per prototype: the strength of every kind (columns STRENGTHS, in 0..1), `constant` (bool), and of the line found
    `axis` ("x" for a vertical one), `boundary` (fraction of the side), `on` ("objects" where only they tell its sides apart,
    "everything"), `before` (bool: the left or upper side is the active one).

    Args:
        measured: the rows of one source in `prototypes.csv`.
    """
    measured = measured.reset_index(drop=True).fillna(0.0)
    found = pd.DataFrame({"prototype": measured["prototype"]})
    objects = measured["objects"] - measured["other_objects"]
    line = _line(measured, objects.abs() >= SEEN)
    found["partition"] = line["side"].where(line["side"] ** 2 >= LINE * line["place"] ** 2, 0.0)
    found["position-sensitive"] = line["place"].where(found["partition"] == 0, 0.0)
    found["localising"], found["background"] = objects.clip(0, 1), (-objects).clip(0, 1)
    found["contour"] = measured["contour"].abs()
    right, down = (measured[f"direction_{axis}"] - measured[f"other_direction_{axis}"] for axis in ("x", "y"))
    found["directional"] = np.hypot(right, down).clip(0, 1)
    found["constant"] = (measured["spread"] < FLAT) | (measured["sd"] < FAINT * measured["sd"].max())
    found.loc[found["constant"], list(STRENGTHS)] = 0.0
    return found.join(line[["axis", "boundary", "on", "before"]])


def _line(measured: pd.DataFrame, answers_objects: pd.Series) -> pd.DataFrame:
    """The line that explains most, over the whole image or, for prototypes that answer to objects, over objects alone."""
    rows = []
    for row, to_objects in zip(measured.to_dict("records"), answers_objects, strict=True):
        areas = [("everything", "", "place"), *([("objects", "objects_", "place_objects")] if to_objects else [])]
        options = [
            {"side": row[f"side_{part}{axis}"], "place": abs(row[place]), "axis": axis, "on": on,
             "boundary": row[f"boundary_{part}{axis}"]}
            for on, part, place in areas
            for axis in ("x", "y")
        ]  # fmt: skip
        best = max(options, key=lambda option: abs(option["side"]))
        rows.append({**best, "side": abs(best["side"]), "before": best["side"] > 0})
    return pd.DataFrame(rows, index=measured.index)


def bounds(table: pd.DataFrame) -> Bounds:
    """The bounds of one network.

    Args:
        table: its whole `prototypes.csv`.
    """
    chance = strengths(table[table["source"] == "shuffled"])
    random = [strengths(rows) for _, rows in table[table["source"].str.startswith("random")].groupby("source")]
    beyond = pd.concat(random)
    greatest = {kind: float(beyond[kind].max()) for kind in STRENGTHS}
    return Bounds(float(chance[list(STRENGTHS)].to_numpy().max()), greatest, len(beyond))


def kinds(found: pd.DataFrame, held: Bounds) -> pd.DataFrame:
    """`found`, of `strengths`, with `kind` (one of KINDS), `strength` (of it; 0 for the last two), `also` (other kinds that it
    has, strongest first) and `beyond` (bool: more than random weights give, in some kind that it has)."""
    rows = []
    for row in found.to_dict("records"):
        has = sorted((kind for kind in STRENGTHS if row[kind] >= held.seen), key=lambda kind: -row[kind])
        kind = has[0] if has else "constant" if row["constant"] else "none"
        beyond = any(row[one] > held.random.get(one, 0.0) for one in has)
        rows.append({**row, "kind": kind, "strength": row.get(kind, 0.0) if has else 0.0, "also": ", ".join(has[1:]),
                     "beyond": beyond})  # fmt: skip
    return pd.DataFrame(rows)
