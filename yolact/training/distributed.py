"""Training by several processes, one per device, through torch's DistributedDataParallel (DDP).

What is exchanged in a step: the divisors of the loss before the forward pass, gradients during the backward pass (summed,
not averaged), the loss terms after it. Numbers travel by gloo, gradients by NCCL where they lie on graphics cards.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from yolact.errors import UserError
from yolact.models.base import Counts, Model
from yolact.training.ranks import Ranks, RanksError

JOIN_SECONDS = 300.0
"""How long processes wait for each other at the start."""
STEP_SECONDS = 600.0
"""How long a process waits for another within a step: longer than any pause of a file system."""

Value = TypeVar("Value")


class RankLost(UserError):  # noqa: N818 - named for what happened
    """Another process of this training failed or was killed."""


class Group:
    """The processes that train one network together, seen from one of them. `Group()` is a process alone: nothing is sent."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def wrap(self, model: Model, loss: Callable[..., dict[str, Tensor]]) -> Callable[..., dict[str, Tensor]]:
        """`loss`, a function of the model's weights, whose backward pass leaves the gradients summed over all processes.

        The weights of rank 0 become everybody's. A trained batch norm normalises by its process's own images; of its running
        averages, those of rank 0 become everybody's (as in the official code, whose first card's count).
        """
        if self.size == 1:
            return loss
        # With unused parameters looked for, DDP never rearranges its buckets, so that sums round alike after resuming.
        wrapped = DistributedDataParallel(_Loss(model, loss), find_unused_parameters=True)
        wrapped.register_comm_hook(None, _sum_gradients)
        return wrapped

    def last_of(self, loss: Callable, last: bool) -> contextlib.AbstractContextManager:
        """Around the forward and backward pass of a micro-batch: only the last exchanges the gradients gathered so far."""
        if last or not isinstance(loss, DistributedDataParallel):
            return contextlib.nullcontext()
        return loss.no_sync()

    def sum(self, values: Iterable[float]) -> list[float]:
        """Each number summed over all processes, in float64."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(total)
        return total.tolist()

    def total(self, counts: Counts) -> Counts:
        """The divisors of the global batch."""
        return dict(zip(counts, self.sum(counts.values()), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return self.sum([float(flag)])[0] > 0

    def gather(self, values: Sequence[int]) -> list[int]:
        """Everybody's whole numbers, by rank; each process gives equally many."""
        if self.size == 1:
            return list(values)
        mine = torch.tensor(values, dtype=torch.int64)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return torch.cat(parts).tolist()

    def share(self, make: Callable[[], Any], device: str) -> Any:
        """What `make` returns on rank 0 (tensors and plain values) on every rank, tensors on `device`. Others don't call it."""
        if self.size == 1:
            return make()
        value = make() if self.rank == 0 else None
        data = _packed(value) if self.rank == 0 else torch.empty(0, dtype=torch.uint8)
        length = torch.tensor(len(data))
        dist.broadcast(length, src=0)
        if self.rank:
            data = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(data, src=0)
        if self.rank:
            value = torch.load(io.BytesIO(data.numpy().tobytes()), map_location=device, weights_only=True)
        return value

    def first(self, make: Callable[[], Value]) -> Value:
        """`make()`, on rank 0 before all others: for what generates or downloads files."""
        if self.rank == 0:
            made = make()
            self.any(False)
            return made
        self.any(False)
        return make()


@contextlib.contextmanager
def joined(ranks: Ranks, device: str) -> Iterator[Group]:
    """The group of all processes, met and ready; each has its own graphics card where `device` is "cuda".

    Raises:
        RanksError: not all came in time, the meeting place can't be opened, or cards are too few.
        RankLost: while the group worked, another process failed (with its reason) or vanished.
    """
    if ranks.size == 1:
        yield Group()
        return
    if device == "cuda":
        torch.cuda.set_device(_card(ranks))
    store = _meet(ranks)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
        store=dist.PrefixStore("group", store),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=timedelta(seconds=STEP_SECONDS),
    )
    try:
        yield Group(ranks.rank, ranks.size)
    except Exception as error:  # the group is left as it is: taking it apart would wait for those who are gone
        if _is_lost_peer(error):
            raise RankLost(_reason(store)) from error
        with contextlib.suppress(RuntimeError):
            store.set("failure", f"process {ranks.rank} of {ranks.size}: {error or type(error).__name__}")
        raise
    dist.destroy_process_group()


class _Loss(nn.Module):
    """A model's loss as a forward pass, which is what DDP brackets."""

    def __init__(self, model: Model, loss: Callable[..., dict[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *arguments: Any) -> dict[str, Tensor]:
        return self.loss(*arguments)


def _sum_gradients(state, bucket):  # DDP refuses annotations that are strings
    """DDP's exchange without its division: the divisors count all processes already."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def _meet(ranks: Ranks) -> dist.Store:
    """A store that all processes have reached."""
    wait = timedelta(seconds=JOIN_SECONDS)
    place = f"{ranks.address}:{ranks.port}"
    try:
        serves = ranks.rank == 0 and not ranks.served
        tcp = dist.TCPStore(ranks.address, ranks.port, is_master=serves, timeout=wait, wait_for_workers=False)
        store = dist.PrefixStore(f"yolact/{ranks.restart}", tcp)
        store.set(f"here/{ranks.rank}", "")
    except RuntimeError as error:
        raise RanksError(f"process {ranks.rank} of {ranks.size} can't meet the others at {place}: {error}") from None
    everybody = [f"here/{rank}" for rank in range(ranks.size)]
    try:
        store.wait(everybody, wait)
    except RuntimeError:
        missing = [rank for rank, name in enumerate(everybody) if not store.check([name])]
        raise RanksError(
            f"processes {missing} of {ranks.size} did not come to {place} within {JOIN_SECONDS:.0f} s; were all started?"
        ) from None
    return store


def _card(ranks: Ranks) -> int:
    """Its own graphics card: the only one that the launcher lets it see, or the one of its place on the node."""
    seen = torch.cuda.device_count()
    if seen == 1 or ranks.local_rank < seen:
        return 0 if seen == 1 else ranks.local_rank
    raise RanksError(
        f"process {ranks.local_rank} of this node finds no graphics card of its own, there are {seen}; lower runtime.devices"
    )


def _packed(value: Any) -> Tensor:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)


def _is_lost_peer(error: Exception) -> bool:
    """Whether an exchange broke. gloo raises plain RuntimeErrors, which name a file of its own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _reason(store: dist.Store) -> str:
    """What the process that failed first has left as its reason."""
    with contextlib.suppress(RuntimeError):
        if store.check(["failure"]):
            return f"another process failed: {store.get('failure').decode()}"
    return (
        "another process of this training is gone without a word: killed, out of memory, or its node is down. "
        "Running the stage again goes on from its last checkpoint"
    )
