"""A results folder made up by code, in the layout and formats of docs/architecture.md.

Two trainings (baseline, fc-mask), two variants that share the baseline's training (standard NMS, no crop), three seeds, and a
k = 1 training whose third seed failed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from analysis.statistics.bootstrap import AP_NAMES, average_precision, load_matches

IMAGES, CLASSES = 40, ("circle", "square", "triangle")
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
SEEDS = (0, 1, 2)

VARIANTS: list[dict[str, Any]] = [
    {"name": "baseline", "label": "YOLACT", "changes": {}, "paper": {"mask_AP": 29.9, "fps": 33.5}},
    {"name": "fc_mask", "label": "fc-mask", "changes": {"model.mask_branch.kind": "fc_mask"},
     "paper": {"mask_AP": 20.7, "fps": 25.7}},
    {"name": "k1", "label": "k = 1", "changes": {"model.mask_branch.k": 1}, "paper": {}},
    {"name": "standard_nms", "label": "standard NMS", "changes": {"inference.suppression": "standard"},
     "paper": {"mask_AP": 30.0, "fps": 24.0}},
    {"name": "no_crop", "label": "no crop", "changes": {"inference.crop": False}, "paper": {}},
]  # fmt: skip
TRAINED_BY = {"baseline": "baseline", "fc_mask": "fc_mask", "k1": "k1", "standard_nms": "baseline", "no_crop": "baseline"}
SKILL = {"baseline": 0.8, "fc_mask": 0.5, "k1": 0.6, "standard_nms": 0.803, "no_crop": 0.72}
LATENCY = {"baseline": 21.0, "fc_mask": 24.0, "k1": 20.0, "standard_nms": 29.0, "no_crop": 21.5}
FAILED = ("k1", 2)
SECTIONS = {"backbone": 0.5, "fpn": 0.12, "protonet": 0.1, "head": 0.12, "nms": 0.1, "assembly": 0.06}


def write(root: Path, scale: str = "toy", seeds: tuple[int, ...] = SEEDS, failed: tuple[str, int] | None = FAILED) -> Path:
    """Write the experiment `quickstart` and its stages under `root`; returns `root`."""
    runs = []
    for variant in VARIANTS:
        for seed in seeds:
            runs.append({"variant": variant["name"], "seed": seed, "stages": _stages(root, variant["name"], seed, failed)})
    record = {
        "experiment": "quickstart",
        "scale": scale,
        "title": "Quickstart: what each part of YOLACT buys",
        "question": "Do many prototypes, the crop and Fast NMS pay for themselves?",
        "reference": "baseline",
        "data": {"name": "shapes", "id": "0123456789abcdef", "split": "test"},
        "created": "2026-11-20T08:00:00+00:00",
        "paper": {"source": "Table 2 (a), (c)", "note": "COCO val2017, one Titan Xp"},
        "stand_ins": {} if scale == "paper" else {"resnet101": "resnet_tiny", "550": "128"},
        "variants": VARIANTS,
        "runs": runs,
    }
    _json(root / "experiments" / f"quickstart-{scale}.json", record)
    return root


def write_matches(path: Path, skill: float, seed: int, offset: float = 0.0) -> None:
    """A made-up matches.npz: detections whose chance to match falls with the IoU threshold."""
    layout, chance = np.random.default_rng(7), np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {
        "image_ids": np.arange(100, 100 + IMAGES), "category_ids": np.array([3, 7, 11]), "iou_thresholds": IOUS,
        "recall_thresholds": RECALLS}  # fmt: skip
    for kind in ("segm", "bbox"):
        gt_image = np.sort(layout.integers(0, IMAGES, 5 * IMAGES))
        gt_category = layout.integers(0, len(CLASSES), len(gt_image))
        size = layout.integers(1, 4, len(gt_image))  # 1 small, 2 medium, 3 large
        quality = np.clip(chance.normal(skill + 0.05 * (kind == "bbox") + offset, 0.15, len(gt_image)), 0, 1)
        false = len(gt_image)
        image = np.concatenate([gt_image, chance.integers(0, IMAGES, false)])
        category = np.concatenate([gt_category, chance.integers(0, len(CLASSES), false)])
        score = np.concatenate([0.4 + 0.6 * quality * chance.random(len(gt_image)), 0.7 * chance.random(false)])
        hit = np.concatenate([quality[None] >= IOUS[:, None], np.zeros((len(IOUS), false), bool)], axis=1)
        own_size = np.concatenate([size, chance.integers(1, 4, false)])
        order = np.lexsort((-score, image, category))
        outside = np.stack([own_size != area if area else np.zeros(len(own_size), bool) for area in range(4)])
        arrays |= {
            f"{kind}_image": image[order], f"{kind}_category": category[order], f"{kind}_score": score[order],
            f"{kind}_matched": np.repeat(hit[None], 4, axis=0)[:, :, order],
            f"{kind}_ignored": np.repeat(outside[:, None], len(IOUS), axis=1)[:, :, order],
            f"{kind}_gt_image": gt_image, f"{kind}_gt_category": gt_category,
            f"{kind}_gt_ignored": np.stack([size != area if area else np.zeros(len(size), bool) for area in range(4)]),
        }  # fmt: skip
    np.savez(path, **arrays)


def _stages(root: Path, variant: str, seed: int, failed: tuple[str, int] | None) -> dict[str, str]:
    train = _id("train", TRAINED_BY[variant], seed)
    predict = _id("predict", variant, seed)
    ids = {"train": train, "predict": predict, "coco": _id("coco", variant, seed), "speed": _id("speed", variant, seed)}
    if "inference" not in variant and variant in ("baseline", "k1", "fc_mask"):
        ids["prototypes"] = _id("prototypes", variant, seed)
    inputs = {"train": [], "predict": [train], "coco": [predict], "speed": [train], "prototypes": [train]}
    for kind, stage_id in ids.items():
        if (TRAINED_BY[variant], seed) == failed:
            if kind == "train":
                _stage(root, stage_id, kind, inputs[kind], seed, error="the loss was not finite ten times in a row")
            continue
        folder = _stage(root, stage_id, kind, inputs[kind], seed)
        if folder is not None:
            _WRITERS[kind](folder, variant, seed)
    return ids


def _stage(root: Path, stage_id: str, kind: str, inputs: list[str], seed: int, error: str | None = None) -> Path | None:
    """The stage's bookkeeping files; its empty result folder, or None where it exists already or failed."""
    folder = root / "runs" / stage_id
    if folder.exists():
        return None
    inference = {"crop": True, "crop_padding": 1, "mask_threshold": 0.5}
    training = {"model": {"mask_branch": {"kind": "prototypes"}}, "training": {"iterations": 600}}
    fields = training if kind == "train" else {"inference": inference}
    by_kind = {one.partition("-")[0]: one for one in inputs}
    _json(folder / "stage.json", {"kind": kind, "version": 1, "fields": fields, "inputs": by_kind,
                                  "data": "0123456789abcdef", "seed": seed if kind == "train" else None})  # fmt: skip
    status = {"state": "failed" if error else "done", "started": "2026-11-20T08:00:00+00:00",
              "finished": "2026-11-20T08:02:13+00:00", "wall_seconds": 133.2 if kind == "train" else 4.1,
              "peak_memory_bytes": 812_000_000, "attempt": 1, "digests": {},
              "error": {"type": "TrainingError", "message": error, "traceback": "..."} if error else None}  # fmt: skip
    _json(folder / "status.json", status)
    _json(folder / "env.json", {"code": {"commit": "1e0120f5c3" * 4, "dirty": False, "source": "ab" * 8},
                                "python": "3.11.2", "packages": {"torch": "2.14.0", "numpy": "2.4.6"},
                                "platform": "Linux", "hardware": {"cpu": "Made-up CPU", "cores": 2}, "device": "cpu",
                                "device_name": "Made-up CPU", "threads": 1, "precision": "fp32", "host": "fake"})  # fmt: skip
    (folder / "log.jsonl").write_text('{"time": "2026-11-20T08:00:00+00:00", "event": "info", "message": "made up"}\n')
    if error:
        return None
    (folder / "result").mkdir()
    return folder / "result"


def _train(folder: Path, variant: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    lines = ["iteration,lr,loss,box,class,mask,semantic"]
    for step in range(10, 601, 10):
        fall = np.exp(-step / 150) * (1 + 0.1 * random.standard_normal(4))
        terms = np.array([1.2, 2.5, 3.0, 0.4]) * fall + np.array([0.2, 0.5, 1.0 - SKILL[variant], 0.1])
        lines.append(",".join([str(step), "0.001", *(f"{term:.6f}" for term in (terms.sum(), *terms))]))
    (folder / "losses.csv").write_text("\n".join(lines) + "\n")
    _json(folder / "summary.json", {"iterations": 600})


def _coco(folder: Path, variant: str, seed: int) -> None:
    write_matches(folder / "matches.npz", SKILL[variant], seed=seed, offset=0.01 * seed)
    metrics, curves = {}, {}
    for kind in ("segm", "bbox"):
        matches = load_matches(folder / "matches.npz", kind)
        ones = np.ones((1, IMAGES), np.int64)
        found = average_precision(matches, ones, tuple(AP_NAMES))
        metrics[kind] = {name: float(value[0]) for name, value in found.items()}
        metrics[kind] |= {name: 0.5 for name in ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")}
        falling = {iou: np.clip(1 - RECALLS ** (2 * SKILL[variant]), 0, 1) * (1.2 - float(iou) / 2) for iou in ("0.50", "0.75")}
        curves[kind] = {
            "recall": RECALLS.tolist(),
            "precision": {iou: np.clip(curve, 0, 1).tolist() for iou, curve in falling.items()},
            "ap_per_iou": {f"{iou:.2f}": float(metrics[kind]["AP"]) for iou in IOUS},
        }
    _json(folder / "metrics.json", metrics)
    _json(folder / "curves.json", curves)
    rows = ["iou_type,category_id,name,instances,AP,AP50,AP75"]
    rows += [
        f"{kind},{i},{name},66,0.3,0.5,0.31" for kind in ("segm", "bbox") for i, name in zip((3, 7, 11), CLASSES, strict=True)
    ]
    (folder / "per_class.csv").write_text("\n".join(rows) + "\n")


def _speed(folder: Path, variant: str, seed: int) -> None:
    latency = LATENCY[variant] + 0.3 * seed
    spread = lambda middle: {"median": middle, "p25": 0.96 * middle, "p75": 1.07 * middle}  # noqa: E731
    sections = {name: spread(share * 20) for name, share in SECTIONS.items() if variant != "fc_mask" or name != "protonet"}
    sections["nms"] = spread(latency - 18)
    _json(folder / "speed.json", {
        "latency_ms": {**spread(latency), "mean": latency, "n": 100},
        "fps": {"median": 1000 / latency, "p25": 1000 / (1.07 * latency), "p75": 1000 / (0.96 * latency)},
        "stages_ms": sections,
        "protocol": {"batch": 1, "precision": "fp32", "threads": 1, "device": "Made-up CPU",
                     "inside": ["network", "NMS", "assembly"], "outside": ["reading images"], "warmup": 5, "repeats": 100,
                     "image_size": 128},
        "samples_ms": [latency] * 100})  # fmt: skip


def _predict(folder: Path, variant: str, seed: int) -> None:
    _json(folder / "detections.json", [])


def _prototypes(folder: Path, variant: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {"image_ids": np.array([100, 101, 102]), "class_names": np.array(CLASSES)}
    rows, columns = np.mgrid[0:128, 0:128]
    k = {"baseline": 8, "k1": 1}.get(variant, 0)
    for index in range(3):
        image = np.full((128, 128, 3), (60, 90, 120), np.uint8)
        centres, masks = random.integers(30, 98, (4, 2)), []
        for number, (y, x) in enumerate(centres):
            masks.append((rows - y) ** 2 + (columns - x) ** 2 < (14 + 3 * number) ** 2)
            image[masks[-1]] = random.integers(80, 255, 3)
        boxes = [[x - 14 - 3 * i, y - 14 - 3 * i, x + 14 + 3 * i, y + 14 + 3 * i] for i, (y, x) in enumerate(centres)]
        arrays |= {f"{index}_image": image, f"{index}_masks": np.stack(masks), f"{index}_scores": np.linspace(0.95, 0.4, 4),
                   f"{index}_boxes": np.array(boxes, np.float32), f"{index}_labels": np.array([0, 1, 2, 0])}  # fmt: skip
        if k:
            low_rows, low_columns = np.mgrid[0:32, 0:32] / 32
            waves = [np.maximum(0, 3 * np.sin(4 * low_rows * np.cos(a) + 4 * low_columns * np.sin(a))) for a in range(k)]
            arrays |= {f"{index}_prototypes": np.stack(waves).astype(np.float32),
                       f"{index}_coefficients": random.uniform(-1, 1, (4, k)).astype(np.float32)}  # fmt: skip
    np.savez(folder / "prototypes.npz", **arrays)


_WRITERS = {"train": _train, "predict": _predict, "coco": _coco, "speed": _speed, "prototypes": _prototypes}


def _id(kind: str, variant: str, seed: int) -> str:
    return f"{kind}-{hashlib.sha256(f'{variant} {seed}'.encode()).hexdigest()[:16]}"


def _json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1))
