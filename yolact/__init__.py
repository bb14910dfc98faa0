"""YOLACT as a library: tensors in, tensors out. `docs/library.md` shows every public name at work.

Names load on first use, so that `import yolact.config` stays free of torch. No name may be that of a module of this
package: importing the module would put it in the name's place.
"""

from importlib import import_module

_HOME = {
    "PRESETS": "yolact.config.presets",
    "Detections": "yolact.structures",
    "Kept": "yolact.ops.nms",
    "Matches": "yolact.ops.matching",
    "Predictor": "yolact.inference.predictor",
    "Target": "yolact.structures",
    "UserError": "yolact.errors",
    "assemble": "yolact.ops.mask_assembly",
    "binarize": "yolact.ops.masks",
    "box_loss": "yolact.models.one_stage.losses",
    "build_model": "yolact.models.build",
    "class_loss": "yolact.models.one_stage.losses",
    "decode": "yolact.ops.boxes",
    "encode": "yolact.ops.boxes",
    "fast_nms": "yolact.ops.nms",
    "from_official": "yolact.models.official.names",
    "load_weights": "yolact.models.checkpoint",
    "make_anchors": "yolact.ops.anchors",
    "match": "yolact.ops.matching",
    "preset": "yolact.config.presets",
    "resize": "yolact.models.base",
    "semantic_loss": "yolact.models.one_stage.semantic",
    "suppress": "yolact.ops.nms",
    "to_official": "yolact.models.official.names",
    "to_pixels": "yolact.ops.masks",
    "train": "yolact.training.loop",
    "write_state_dict": "yolact.models.checkpoint",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'yolact' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
