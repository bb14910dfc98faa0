"""The parts of Mask2Former that Hugging Face's `transformers` has, built from a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from yolact.config.model import Mask2FormerConfig
from yolact.errors import UserError

STRIDES = (4, 8, 16, 32)
"""Of the backbone's maps."""


def build_network(config: Mask2FormerConfig, in_channels: Sequence[int], num_classes: int) -> nn.Module:
    """`pixel_decoder`, `transformer_module` and `class_predictor`, their weights drawn as the library draws them.

    Args:
        in_channels: of the backbone's C2, C3, C4, C5.

    Raises:
        UserError: `transformers` is not installed.
    """
    library = _library()
    parts = library.modeling_mask2former

    class Network(parts.Mask2FormerPreTrainedModel):  # type: ignore[name-defined]
        def __init__(self, settings: Any) -> None:
            super().__init__(settings)
            self.pixel_decoder = parts.Mask2FormerPixelDecoder(settings, feature_channels=list(in_channels))
            self.transformer_module = parts.Mask2FormerTransformerModule(in_features=config.channels, config=settings)
            self.class_predictor = nn.Linear(config.channels, num_classes + 1)
            self.post_init()

    return Network(_settings(library, config, num_classes))


def build_criterion(config: Mask2FormerConfig, num_classes: int) -> nn.Module:
    """The library's matching and losses.

    Raises:
        UserError: `transformers` is not installed.
    """
    library = _library()
    return library.modeling_mask2former.Mask2FormerLoss(_settings(library, config, num_classes), weight_dict={})


def _settings(library: Any, config: Mask2FormerConfig, num_classes: int) -> Any:
    """The library's configuration; what it holds of a backbone is not read."""
    loss = config.loss
    return library.Mask2FormerConfig(
        num_labels=num_classes,
        feature_size=config.channels,
        mask_feature_size=config.channels,
        hidden_dim=config.channels,
        num_attention_heads=config.heads,
        encoder_layers=config.pixel_decoder.layers,
        encoder_feedforward_dim=config.pixel_decoder.feedforward,
        decoder_layers=config.query_decoder.layers + 1,  # the library counts the prediction before the first
        dim_feedforward=config.query_decoder.feedforward,
        num_queries=config.query_decoder.queries,
        class_weight=loss.classification,
        mask_weight=loss.mask,
        dice_weight=loss.dice,
        no_object_weight=loss.no_object,
        train_num_points=loss.points,
        oversample_ratio=loss.oversampling,
        importance_sample_ratio=loss.importance,
        feature_strides=STRIDES,
    )


def _library() -> Any:
    try:
        import scipy.optimize  # noqa: F401 - the library's matching needs it
        from transformers.models import mask2former
        from transformers.models.mask2former import modeling_mask2former
    except ImportError as error:
        raise UserError(
            f"model.kind=mask2former needs transformers and scipy ({error}): pip install 'yolact-workbench[transformers]'"
        ) from None
    assert mask2former.modeling_mask2former is modeling_mask2former
    return mask2former
