"""The training loop: an optimiser with a schedule, exact resumption, and honest treatment of a loss that isn't finite.

Source: paper section 5; reference `train.py`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, Adam, AdamW, Optimizer

from yolact.config.training import TrainingConfig
from yolact.errors import UserError
from yolact.models.base import Model, total_counts
from yolact.models.checkpoint import load_plain, write_plain, write_state_dict
from yolact.runtime.memory import keep_freed_memory
from yolact.structures import Target
from yolact.training.breakdown import Breakdown
from yolact.training.compile import compiled_loss
from yolact.training.distributed import Group
from yolact.training.feed import Batch, Feed
from yolact.training.layout import fast_layout
from yolact.training.schedule import learning_rate

Event = dict[str, Any]

_PATIENCE = 10
_CHECKPOINT = "training.pt"


class Interrupted(Exception):  # noqa: N818 - no error: the run was asked to stop and has saved itself
    """Training stopped on request after saving a checkpoint."""


class Diverged(UserError):  # noqa: N818 - named for what happened, as Interrupted is
    """The loss wasn't finite ten times in a row."""


@dataclass
class History:
    """What training reports: one row per `log_every` iterations, each value the mean since the row before."""

    rows: list[dict[str, float]] = field(default_factory=list)
    skipped: int = 0
    """Steps left out because their loss wasn't finite."""
    window: dict[str, float] = field(default_factory=dict)
    window_steps: int = 0

    def add(self, terms: dict[str, float]) -> None:
        """Count one step's terms into the open row."""
        for name, value in terms.items():
            self.window[name] = self.window.get(name, 0.0) + value
        self.window_steps += 1

    def close_row(self, iteration: int, lr: float) -> dict[str, float]:
        """End the open row at `iteration` (steps done so far) and return it."""
        means = {name: total / self.window_steps for name, total in self.window.items()} if self.window_steps else {}
        row = {"iteration": iteration, "lr": lr, "loss": sum(means.values()), **means}
        self.rows.append(row)
        self.window, self.window_steps = {}, 0
        return row


def train(
    model: Model,
    batches: Callable[[int], Iterable[Batch]],
    config: TrainingConfig,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    log: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    group: Group | None = None,
) -> History:
    """Train `model` in place for `config.iterations` steps.

    Args:
        model: any `yolact.models.base.Model`, its weights already drawn.
        batches: called with the iteration to begin at, gives (images (n, 3, S, S) float32 in 0..255, targets) from there on;
            to one of several processes, its share of each batch, as many images as to every other.
        config: length, optimiser, schedule, precision.
        device: "cpu" or "cuda".
        checkpoint: folder that holds the resumable state; a state found there is continued exactly.
        log: receives events ({"event": "step", ...} and {"event": "warning", ...}).
        should_stop: asked after every step; where one process of a group is told to, all stop after the same step.
        group: the processes that train together (`yolact.training.distributed.joined`); None for this one alone. All return
            the same history and end with the same weights, running averages of a trained batch norm excepted: those of rank 0
            count, which alone saves.

    Raises:
        Interrupted: `should_stop` said so; the state is saved.
        Diverged: ten losses in a row weren't finite.
        UserError: the batches end early, the checkpoint can't be read, or `config.compile` can't be had.
    """
    model = model.to(device).train()
    if device == "cpu":
        keep_freed_memory()
    with fast_layout(model, device):
        loop = _Loop(model, config, device, checkpoint, log, group or Group())
        loop.resume()
        loop.run(batches, should_stop)
    return loop.history


def _optimizer(parameters: list[Parameter], config: TrainingConfig) -> Optimizer:
    if config.optimizer == "sgd":
        return SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay, fused=True)
    kind = Adam if config.optimizer == "adam" else AdamW
    return kind(parameters, config.lr, (config.momentum, 0.999), weight_decay=config.weight_decay, fused=True)


class _Loop:
    """State of a running training: everything a checkpoint holds."""

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        device: str,
        checkpoint: Path | None,
        log: Callable[[Event], None],
        group: Group,
    ) -> None:
        self.model, self.config, self.device, self.checkpoint, self.log = model, config, device, checkpoint, log
        self.group = group
        self.loss = group.wrap(model, compiled_loss(model, device) if config.compile else model.loss)
        self.weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = _optimizer(self.weights, config)
        self.breakdown = Breakdown(device)
        self.scaler = torch.amp.GradScaler(device, enabled=config.precision == "fp16")
        self.iteration = 0
        self.history = History()
        self.not_finite = 0

    def run(self, batches: Callable[[int], Iterable[Batch]], should_stop: Callable[[], bool]) -> None:
        """Take the remaining steps; log and save as configured."""
        config, first, started = self.config, self.iteration, time.perf_counter()
        feed = Feed(iter(batches(first)), config.iterations - first, self.device)
        while self.iteration < config.iterations:
            self.breakdown.mark("other")
            batch = feed.take()
            self.breakdown.mark("loader")
            if batch is None:
                raise UserError(f"the batches ended after iteration {self.iteration} of {config.iterations}")
            self.step(batch, feed)
            last = self.iteration == config.iterations
            if self.iteration % config.log_every == 0 or last:
                self.report((self.iteration - first) * config.batch_size / (time.perf_counter() - started))
            if self.group.any(should_stop()) and not last:
                self.save()
                raise Interrupted(f"stopped after iteration {self.iteration} of {config.iterations}")
            if self.iteration % config.checkpoint_every == 0 and not last:
                self.save()

    def step(self, batch: Batch, feed: Feed) -> None:
        """One optimiser step over all micro-batches, during which `feed` may look ahead."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.iteration, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        images, targets = feed.place(batch)
        self.breakdown.mark("transfer")
        parts = [(some, self.model.assign(their)) for some, their in self._split(images, targets)]
        counts = self.group.total(total_counts(assignment.counts for _, assignment in parts))
        terms: dict[str, Tensor] = {}
        for number, (some_images, assignment) in enumerate(parts, start=1):
            with self.group.last_of(self.loss, number == len(parts)):
                with self._autocast():
                    part = self.loss(some_images, assignment, counts)
                total = self.scaler.scale(torch.stack(list(part.values())).sum())
                self.breakdown.mark("forward")
                total.backward()
                self.breakdown.mark("backward")
            terms = {name: terms[name] + value.detach() if terms else value.detach() for name, value in part.items()}
        feed.look_ahead()
        self.breakdown.mark("loader")
        sums = self.group.sum([*torch.stack(list(terms.values())).tolist(), *self.model.observed()])  # synchronises
        values = dict(zip(terms, sums, strict=False))
        self.breakdown.mark("backward")
        if all(math.isfinite(value) for value in values.values()):
            self._clip()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.model.update(sums[len(terms) :])
            self.history.add(values)
            self.not_finite = 0
        else:
            self._skip(values, images, targets)
        self.breakdown.mark("optimiser")
        self.iteration += 1

    def _clip(self) -> None:
        """Hold the gradient of the whole batch, which every process has, to its largest norm."""
        if self.config.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.weights, self.config.gradient_clip)

    def report(self, rate: float) -> None:
        """Close the history's row and log it."""
        row = self.history.close_row(self.iteration, learning_rate(self.iteration - 1, self.config))
        terms = {name: value for name, value in row.items() if name not in ("iteration", "lr", "loss")}
        self.log(
            {
                "event": "step",
                "iteration": self.iteration,
                "iterations": self.config.iterations,
                "lr": row["lr"],
                "loss": row["loss"],
                "terms": terms,
                "images_per_second": rate,
                "seconds": {part: round(value, 4) for part, value in self.breakdown.close().items()},
            }
        )

    def save(self) -> None:
        """Write everything needed to go on exactly from here, aside first, then by rename."""
        if self.checkpoint is None or self.group.rank:
            return
        self.checkpoint.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "iteration": self.iteration,
            "history": vars(self.history),
            "not_finite": self.not_finite,
            "rng": torch.get_rng_state(),
        }
        write_plain(state, self.checkpoint / _CHECKPOINT)

    def resume(self) -> None:
        """Go on from the checkpoint folder's state, where there is one."""
        state = self.group.share(self._saved, self.device)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.iteration = state["iteration"]
        self.history = History(**state["history"])
        self.not_finite = state["not_finite"]
        torch.set_rng_state(state["rng"].cpu())
        self.log({"event": "info", "message": f"resumed at iteration {self.iteration}"})

    def _saved(self) -> dict[str, Any] | None:
        if self.checkpoint is None or not (self.checkpoint / _CHECKPOINT).is_file():
            return None
        path = self.checkpoint / _CHECKPOINT
        try:
            return load_plain(path, self.device)
        except UserError as error:
            raise UserError(f"{error} To train from the start, delete this file") from None

    def _split(self, images: Tensor, targets: list[Target]) -> list[Batch]:
        count = self.config.micro_batches
        if count == 1:
            return [(images, targets)]
        size = -(-len(targets) // count)
        return [(images[i : i + size], targets[i : i + size]) for i in range(0, len(targets), size)]

    def _autocast(self) -> contextlib.AbstractContextManager:
        if self.config.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self.device, torch.bfloat16 if self.config.precision == "bf16" else torch.float16)

    def _skip(self, values: dict[str, float], images: Tensor, targets: list[Target]) -> None:
        self.history.skipped += 1
        self.not_finite += 1
        ids = self.group.gather([target.image_id for target in targets])
        bad = {name: value for name, value in values.items() if not math.isfinite(value)}
        saved = self._save_batch(images, targets)
        message = f"iteration {self.iteration}: step skipped, {bad} is not finite; images {ids}{saved}"
        self.log({"event": "warning", "message": message})
        if self.not_finite >= _PATIENCE:
            raise Diverged(
                f"the loss wasn't finite {_PATIENCE} times in a row, last at {message}. "
                "Lower training.lr, lengthen training.warmup_iterations, or check the data set with `yolact data check`"
            )

    def _save_batch(self, images: Tensor, targets: list[Target]) -> str:
        if self.checkpoint is None:
            return ""
        folder = self.checkpoint / "not_finite"
        folder.mkdir(parents=True, exist_ok=True)
        name, size = f"iteration_{self.iteration}", self.group.size
        shares = [f"{name}.pt"] if size == 1 else [f"{name}.{rank}.pt" for rank in range(size)]
        path = folder / shares[self.group.rank]
        batch = {"images": images}
        for index, target in enumerate(targets):
            batch |= {f"{index}.{name}": getattr(target, name) for name in ("boxes", "labels", "masks", "crowd")}
        write_state_dict(batch, path)
        return f"; batch saved in {', '.join(shares)}"
