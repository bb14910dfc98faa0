"""YOLACT as a library: tensors in, tensors out. `docs/library.md` shows every public name at work.

Names load on first use, so that `import yolact.config` stays free of torch.
"""

from importlib import import_module

_HOME = {
    "Target": "yolact.structures",
    "Detections": "yolact.structures",
    "build_model": "yolact.model",
    "Normalizer": "yolact.model",
    "preset": "yolact.presets",
    "PRESETS": "yolact.presets",
    "anchors": "yolact.anchors",
    "match": "yolact.matching",
    "suppress": "yolact.nms",
    "assemble": "yolact.masks",
    "load_weights": "yolact.checkpoint",
    "train": "yolact.training",
    "UserError": "yolact.errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'yolact' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
