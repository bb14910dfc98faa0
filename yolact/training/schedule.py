"""Learning rate by iteration: linear warm-up, then steps. Source: reference `train.py` set_lr calls."""

from __future__ import annotations

from yolact.config.training import TrainingConfig


def learning_rate(iteration: int, config: TrainingConfig) -> float:
    """Learning rate of the step that starts at `iteration`, counted from 0."""
    passed = sum(iteration >= round(fraction * config.iterations) for fraction in config.milestones)
    if passed:
        return config.lr * config.gamma**passed
    if iteration <= config.warmup_iterations and config.warmup_iterations:
        return config.warmup_lr + (config.lr - config.warmup_lr) * iteration / config.warmup_iterations
    return config.lr
