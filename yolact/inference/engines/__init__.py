"""Engines: what carries out a network's inference, chosen by `inference.engine`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from yolact.config.engine import EngineConfig
from yolact.config.inference import InferenceConfig
from yolact.inference.engines.eager import EagerEngine
from yolact.runtime.profiling import Sections
from yolact.structures import Detections, RawOutputs

if TYPE_CHECKING:
    from yolact.models.one_stage.model import YolactModel


class Engine(Protocol):
    """From images to raw outputs, from these to detections."""

    def outputs(self, images: Sequence[Tensor], masks: bool, sections: Sections) -> RawOutputs:
        """float32 outputs for (3, H, W) uint8 images of any sizes; without masks, neither maps nor parameters."""

    def finish(
        self,
        raw: RawOutputs,
        sizes: Sequence[tuple[int, int]],
        inference: InferenceConfig,
        sections: Sections,
        keep_prototypes: bool,
    ) -> list[Detections]:
        """Detections in images of these sizes (H, W); with `keep_prototypes`, also coefficients and prototypes."""


_KEPT: WeakKeyDictionary[nn.Module, dict[str, tuple[Any, Engine]]] = WeakKeyDictionary()
"""The compiled engine of each network and precision, with the state of the network that it was made of."""


def engine_of(network: YolactModel, config: EngineConfig) -> Engine:
    """The engine that `config` names, for the network as it is now; a compiled one is kept until the network changes.

    Raises:
        EngineError: the engine doesn't run on this machine.
    """
    if config.kind == "eager":
        return EagerEngine(network, config.precision)
    from yolact.inference.engines.compiled import CompiledEngine

    kept, state = _KEPT.setdefault(network, {}), _state(network)
    if config.precision not in kept or kept[config.precision][0] != state:
        kept[config.precision] = (state, CompiledEngine(network, config.precision))
    return kept[config.precision][1]


def section_names(model: Any, config: EngineConfig) -> tuple[str, ...]:
    """The parts of `model.predict` that the engine brackets with `sections`, in the order of their work."""
    if config.kind == "eager":
        return model.section_names
    from yolact.inference.engines.compiled import SECTIONS

    return SECTIONS


def _state(network: nn.Module) -> list[Any]:
    """Differs after any change of a weight or of the padding. Made before every image: faster than by `state_dict`."""
    found: list[Any] = []
    for module in network.modules():
        found += (type(module), getattr(module, "border", None))
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:
                found += (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
    return found
