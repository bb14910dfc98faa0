"""A model ready to predict: images in, detections out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from yolact.config.engine import EngineConfig
from yolact.config.inference import InferenceConfig
from yolact.inference.engines import make_engine
from yolact.inference.engines.engine import EngineError
from yolact.models.base import Model, resize
from yolact.runtime.profiling import section
from yolact.structures import Detections


class Encoded(NamedTuple):
    """Raw outputs of a model for some images, which several inference settings can share."""

    raw: Any
    sizes: list[tuple[int, int]]
    """(H, W) of each original image."""


class Predictor:
    """A model in inference mode with its engine. Later changes of weights or padding are not seen by a compiled engine.

    Args:
        model: on its device; put into inference mode, and left there.
        engine: eager or compiled, and the precision of the forward pass.

    Raises:
        EngineError: the engine doesn't run this model, or not on this machine.
    """

    def __init__(self, model: Model, engine: EngineConfig = EngineConfig()) -> None:  # noqa: B008 - immutable
        self.model, self.config = model.eval(), engine
        self.engine = make_engine(model, engine)
        self.section_names = self.engine.section_names

    @torch.inference_mode()
    def encode(self, images: Sequence[Tensor], masks: bool = True) -> Encoded:
        """Run the network.

        Args:
            images: (3, H, W) uint8 RGB of any sizes, on the model's device.
            masks: False leaves out what only masks need; `inference.masks` of later steps must then be false too.
        """
        with section("preprocess"):
            batch = torch.stack([resize(image, self.model.image_size) for image in images])
        return Encoded(self.engine.forward(batch, masks), [(image.shape[-2], image.shape[-1]) for image in images])

    @torch.inference_mode()
    def detections(self, encoded: Encoded, inference: InferenceConfig) -> list[Detections]:
        """Decode, suppress and assemble masks: detections in pixels of each original image.

        Raises:
            EngineError: `inference.engine` is another engine than this predictor's.
            ConfigError: the model does not support a setting.
        """
        if inference.engine != self.config:
            raise EngineError(f"inference.engine is {inference.engine.to_data()}, this predictor's {self.config.to_data()}")
        return self.engine.postprocess(encoded.raw, encoded.sizes, inference)

    def predict(self, images: Sequence[Tensor], inference: InferenceConfig) -> list[Detections]:
        """`detections` of `encode`."""
        return self.detections(self.encode(images, inference.masks), inference)
