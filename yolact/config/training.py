"""How a network is trained: length, optimiser, schedule, augmentation, precision."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from yolact.config.base import Config
from yolact.config.fields import FilePath, Fraction, Positive


class AugmentationConfig(Config):
    """SSD's augmentations (`yolact/data/augmentation.py`); each switch turns one step on."""

    photometric: bool = True
    """Brightness, contrast, saturation, hue, each with probability one half."""
    expand: bool = True
    """With probability one half, place the image on a mean-coloured canvas up to `max_expand` times as large."""
    max_expand: Annotated[float, Field(ge=1)] = 4.0
    crop: bool = True
    """Cut a random window out of the image that keeps at least one object's centre."""
    crop_checks_iou: bool = False
    """Hold the sample crop to its minimum IoU. In the official code the test can never fail."""
    mirror: bool = True
    """Flip left to right with probability one half."""
    min_box_side: Annotated[float, Field(ge=0)] = 4 / 550
    """Objects with a side not above this many input pixels are dropped. The official code means 4 pixels of 550, but compares
    the fraction 4/550 with pixels, so that only boxes without extent go."""


class TrainingConfig(Config):
    """Optimiser and schedule (`yolact/training/loop.py`). Length counts iterations, never seconds."""

    start_from: Annotated[str | None, FilePath()] = None
    """Weights to fine-tune: a state dict of the same architecture, ours or the official layout. Layers that depend on the
    number of classes start fresh when that number differs. None starts from the backbone's weights alone."""
    iterations: Annotated[int, Field(ge=0)] = 800_000
    """0 leaves the network as it starts: untrained, or with `start_from` as others trained it."""
    batch_size: Positive = 8
    """Images per optimiser step, over all micro-batches and devices."""
    micro_batches: Positive = 1
    """Gradient accumulation: the batch is split into this many equal parts, one forward pass each."""
    # left out of plain data at its default, so that what describes an older training keeps its bytes
    optimizer: Literal["sgd", "adam", "adamw"] = Field(default="sgd", exclude_if=lambda value: value == "sgd")
    """torch's. AdamW decays weights apart from the gradient."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    momentum: Fraction = 0.9
    """Of Adam and AdamW, beta 1; their beta 2 is 0.999."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """On every parameter, biases and batch norm included."""
    warmup_iterations: Annotated[int, Field(ge=0)] = 500
    """Linear warm-up from `warmup_lr` to `lr`."""
    warmup_lr: Annotated[float, Field(ge=0)] = 1e-4
    milestones: tuple[Fraction, ...] = (0.35, 0.75, 0.875, 0.9375)
    """Where the learning rate is multiplied by `gamma`, as fractions of `iterations` (280k, 600k, 700k, 750k of 800k)."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    # left out of plain data at its default, so that what describes an older training keeps its bytes
    gradient_clip: Annotated[float, Field(gt=0)] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Largest L2 norm of the gradient of all weights together, of the whole batch; a longer one is scaled down to it. None
    leaves gradients as they are. SOLO's authors use 35."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Of the forward pass; losses and weights stay in fp32. fp16 needs a GPU and scales the loss. On a CPU, bf16 about halves
    a step of ResNet-50 where `lscpu` lists avx512_bf16 or amx_bf16, and is slow elsewhere."""
    compile: bool = False
    """Compile the network, without the losses, by torch.compile: for YOLACT alone, and on the CPU with a C++ compiler. The same
    numbers up to rounding; on the CPU the same bytes on one type of processor only. Meant for a GPU: on a CPU (AMD EPYC, toy
    network, fp32 and bf16) a step takes as long as without, and the first one minutes."""
    skip_images_without_objects: bool = True
    """Official code: images without annotations are never shown."""
    checkpoint_every: Positive = 10_000
    """Iterations between resumable checkpoints."""
    log_every: Positive = 10
    """Iterations between lines of the training log."""
    augmentation: AugmentationConfig = AugmentationConfig()

    @field_validator("milestones")
    @classmethod
    def _ascending(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if list(milestones) != sorted(milestones):
            raise ValueError(f"milestones must ascend, got {list(milestones)}")
        return milestones
