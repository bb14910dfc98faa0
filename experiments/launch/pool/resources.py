"""What jobs on this machine may use together: cores, main memory, graphics cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from yolact.runtime.hardware import usable_cores, usable_memory_bytes, visible_cards

CARDS_VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """What one job asks for."""

    cores: int
    memory_bytes: int = 0
    """0 if unknown."""
    cards: int = 0
    exclusive: bool = False
    """Nothing else may run on the machine meanwhile."""


@dataclass(frozen=True)
class Machine:
    """What there is."""

    cores: int = field(default_factory=usable_cores)
    memory_bytes: int = field(default_factory=usable_memory_bytes)
    cards: tuple[str, ...] | None = None
    """As CUDA_VISIBLE_DEVICES names them; None for all that are visible. If there is none, jobs on "cuda" run one at a
    time, and see what torch sees."""
    workers: int | None = None
    """Most jobs at once."""


class Resources:
    """What is in use. A job that asks for more than there is runs only when nothing else does."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._running: list[Share] = []
        self._in_use: set[str] = set()

    @cached_property
    def cards(self) -> tuple[str, ...]:
        """Names of all cards; one without a name if none is found."""
        found = visible_cards() if self.machine.cards is None else self.machine.cards
        return found or ("",)

    @property
    def idle(self) -> bool:
        return not self._running

    @property
    def exhausted(self) -> bool:
        """Whether no job whatsoever can start."""
        used = sum(share.cores for share in self._running)
        full = self.machine.workers is not None and len(self._running) >= self.machine.workers
        return bool(self._running) and (full or used >= self.machine.cores or any(share.exclusive for share in self._running))

    def fits(self, asked: Share) -> bool:
        """Whether a job can start beside those that run."""
        if self.idle:
            return True
        together = (asked, *self._running)
        return not (
            self.exhausted
            or asked.exclusive
            or (asked.cards and self._count(asked) > len(self.cards) - len(self._in_use))
            or sum(share.cores for share in together) > self.machine.cores
            or sum(share.memory_bytes for share in together) > self.machine.memory_bytes
        )

    def take(self, asked: Share) -> tuple[str, ...]:
        """Note that a job runs; returns its cards, which no other job gets until `give_back`."""
        self._running.append(asked)
        if not asked.cards:
            return ()
        free = [card for card in self.cards if card not in self._in_use]
        cards = tuple(free[: self._count(asked)])
        self._in_use.update(cards)
        return cards

    def give_back(self, asked: Share, cards: tuple[str, ...]) -> None:
        """Note that the job has ended."""
        self._running.remove(asked)
        self._in_use.difference_update(cards)

    def _count(self, asked: Share) -> int:
        return min(asked.cards, len(self.cards))


def cards_environment(cards: tuple[str, ...]) -> dict[str, str]:
    """The variable that makes a job see its cards only; empty if it has none, or if their names are not known."""
    return {CARDS_VARIABLE: ",".join(cards)} if any(cards) else {}
