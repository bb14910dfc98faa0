"""Inference engines: eager PyTorch, the reference, or compiled ahead of the first image."""

from __future__ import annotations

from yolact.config.engine import EngineConfig
from yolact.inference.engines.eager import EagerEngine
from yolact.inference.engines.engine import Engine
from yolact.models.base import Model


def make_engine(model: Model, config: EngineConfig) -> Engine:
    """The engine that `config` names, for the weights that the model has now.

    Raises:
        EngineError: the engine doesn't run this model, or not on this machine.
    """
    if config.kind == "eager":
        return EagerEngine(model, config.precision)
    from yolact.inference.engines.compiled import CompiledEngine

    return CompiledEngine(model, config.precision)
