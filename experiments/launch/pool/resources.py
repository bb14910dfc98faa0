"""Resources of this machine for jobs: cores, main memory, GPUs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from yolact.runtime.hardware import usable_cores, usable_memory_bytes, visible_cards

CARDS_VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """Resources requested by one job."""

    cores: int
    memory_bytes: int = 0
    """0 if unknown."""
    cards: int = 0
    exclusive: bool = False
    """Whether nothing else may run on the machine at the same time."""


@dataclass(frozen=True)
class Machine:
    """Resources of the machine."""

    cores: int = field(default_factory=usable_cores)
    memory_bytes: int = field(default_factory=usable_memory_bytes)
    cards: tuple[str, ...] | None = None
    """GPUs as in CUDA_VISIBLE_DEVICES; None for all visible ones. If there is none, jobs on "cuda" run one at a time,
    with torch's own choice of devices."""
    workers: int | None = None
    """Maximum number of jobs at once."""


class Resources:
    """Resources in use. A job that requests more than the machine has runs only if nothing else does."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._running: list[Share] = []
        self._in_use: set[str] = set()

    @cached_property
    def cards(self) -> tuple[str, ...]:
        """Names of all GPUs; one without a name if none is found."""
        found = visible_cards() if self.machine.cards is None else self.machine.cards
        return found or ("",)

    @property
    def idle(self) -> bool:
        return not self._running

    @property
    def exhausted(self) -> bool:
        """Whether no job at all can start."""
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
        """Reserve a job's resources; return its GPUs, which no other job gets until `give_back`."""
        self._running.append(asked)
        if not asked.cards:
            return ()
        free = [card for card in self.cards if card not in self._in_use]
        cards = tuple(free[: self._count(asked)])
        self._in_use.update(cards)
        return cards

    def give_back(self, asked: Share, cards: tuple[str, ...]) -> None:
        """Release a job's resources."""
        self._running.remove(asked)
        self._in_use.difference_update(cards)

    def _count(self, asked: Share) -> int:
        return min(asked.cards, len(self.cards))


def cards_environment(cards: tuple[str, ...]) -> dict[str, str]:
    """The variable that limits a job to its GPUs; {} if it has none or their names are unknown."""
    return {CARDS_VARIABLE: ",".join(cards)} if any(cards) else {}
