"""Pictures in which place is all that changes, after the paper's figure 5.

The ground has one colour, and an object is the same pixels wherever it stands. A network with strides answers alike to a shift
only where the shift is a multiple of its largest stride, borders apart. So an object is moved by such multiples (the cells of
a grid), and all of that is repeated at a few shifts below the stride (the phases).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolact.data.synthetic.sprites import Sprite, paste
from yolact.errors import UserError

SOLID = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "black": (0, 0, 0),
}
"""The colours of pictures of one colour. The paper's is red."""


@dataclass(frozen=True)
class Places:
    """Where a moved object's middle stands along each axis."""

    centres: NDArray[np.int64]
    """(cells * phases,) pixels, ascending within a phase: place i belongs to cell i // phases, phase i % phases."""
    cells: int
    phases: int

    def of_phase(self, phase: int) -> list[int]:
        """The cells' middles in pixels at one phase."""
        return [int(one) for one in self.centres[phase :: self.phases]]


def places(size: int, side: int, stride: int, cells: int, phases: int) -> Places:
    """A grid on which an object of `side` pixels stands wholly inside a picture of (size, size).

    Cells lie the same multiple of `stride` apart: at most `cells` of them, spread as far as the picture reaches. Phases are
    halved until there is room for two cells.

    Raises:
        UserError: two cells don't fit.
    """
    room = size - side
    while phases > 1 and stride + (phases - 1) * (stride // phases) > room:
        phases //= 2
    fine = stride // phases
    fit = (room - (phases - 1) * fine) // stride + 1
    if fit < 2:
        raise UserError(
            f"image size {size}: an object of {side} pixels cannot be moved by the network's stride of {stride} inside it; "
            "take a larger image size"
        )
    count = min(cells, fit)
    step = (fit - 1) // (count - 1) * stride
    first = (room - (count - 1) * step - (phases - 1) * fine) // 2 + side // 2
    centres = [first + cell * step + phase * fine for cell in range(count) for phase in range(phases)]
    return Places(np.array(centres, np.int64), count, phases)


def solid(size: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """(size, size, 3) of one colour."""
    return np.full((size, size, 3), colour, np.uint8)


def moved(size: int, sprite: Sprite, centres: Sequence[tuple[int, int]]) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """A sprite on its ground with its middle at each of `centres` (x, y): the picture, and what each covers of it."""
    picture = solid(size, sprite.ground)
    return picture, [paste(picture, sprite, centre) for centre in centres]


def figure_five(size: int, sprites: Sequence[Sprite], grid: Places) -> dict[str, NDArray[np.uint8]]:
    """The probes that are looked at, by name: (size, size, 3) each."""
    sprite, middle = sprites[0], size // 2
    line = grid.of_phase(0)
    beside = sprite.mask.shape[1] // 2
    row = line[len(line) // 2]
    return {
        "solid red": solid(size, SOLID["red"]),
        "at the left": moved(size, sprite, [(line[0], row)])[0],
        "at the right": moved(size, sprite, [(line[-1], row)])[0],
        "two neighbours": moved(size, sprite, [(middle - beside, middle), (middle + beside, middle)])[0],
        "crowd of one class": _crowd(size, [sprite]),
        "mixed crowd": _crowd(size, sprites),
    }


def _crowd(size: int, sprites: Sequence[Sprite]) -> NDArray[np.uint8]:
    """Four rows of four, sprites in turn, the ground that of the first."""
    picture = solid(size, sprites[0].ground)
    for row in range(4):
        for column in range(4):
            # every second row is moved by half a step, so that neighbours stand at several angles
            x = (2 * column + 1 + row % 2 / 2) * size / 9
            paste(picture, sprites[(row + column) % len(sprites)], (round(x + size / 18), round((2 * row + 1.5) * size / 9)))
    return picture
