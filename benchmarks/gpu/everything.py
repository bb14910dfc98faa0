"""All measurements on a GPU: agreement with the CPU, speed of every preset, and the paper's ablations on real data.

Called by `benchmarks/gpu/gpu.sh`; docs/gpu.md says how, what it writes, and how long it takes. One call stops by itself before
its time is over; the next one goes on from what lies in the results folder, to the end of the list:

1. agreement of CPU and GPU, preset by preset
2. images per second: of every preset at batch 1, 8 and 32, by every engine in every precision; in training
3. the other benchmarks that run on a GPU
4. the specs, one seed of each; then all of them with two seeds, then with three
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.common.networks import IMAGE, TINY_IMAGE, presets
from benchmarks.gpu import throughput as throughputs
from benchmarks.gpu import training as trainings
from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.tables import Folders, write_outputs
from benchmarks.gpu.throughput import throughput
from benchmarks.gpu.training import training
from experiments.run.provenance import source_digest
from yolact.config.presets import Preset
from yolact.runtime.files import write_json
from yolact.runtime.hardware import device_name, usable_cores

SPECS = ("nms", "prototypes", "mask_methods", "activations", "crop")
COMMANDS = ("nms", "scaling", "roofline", "peers")
"""Benchmarks beside this one that take --device, --out and --tiny."""
ROUNDS = ("0", "0,1", "0,1,2")
"""Seeds of each round; what an earlier round did isn't done again."""
MOST_LOADERS = 12
RECOMPRESSED = Path(".gpu/nuclei-jpeg")
PRETRAINED = "mobilenet_v2-b0353104.pth"
"""The ImageNet weights that scale small asks torchvision for."""
TINY_DATA = "kind: shapes\nname: shapes\nshapes: {image_size: 64, train: 8, val: 2, test: 4}\n"
_STOPPED = 130
_GRACE = 20.0
"""Seconds that a run has for saving its training once it is asked to stop."""


class TimeUp(Exception):  # noqa: N818 - not a fault
    """This call's time is over."""


@dataclass(frozen=True)
class Task:
    """What one call is to do."""

    device: str
    tiny: bool
    folders: Folders
    stop_at: float
    """On the clock of time.monotonic."""

    def check_time(self) -> None:
        """Raise TimeUp when it is time to write the outputs."""
        if time.monotonic() >= self.stop_at:
            raise TimeUp


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 unless something was done and is wrong: a disagreement, a measurement or a stage that failed."""
    begun = time.monotonic()
    options = _options(arguments)
    folders = Folders(options.results, options.out)
    task = Task(options.device, options.tiny, folders, begun + options.seconds - _reserve(options.seconds))
    kept = (folders.agreement, folders.throughput, folders.training, folders.commands)
    for folder in (*kept, folders.out):
        folder.mkdir(parents=True, exist_ok=True)
    wrong: list[str] = []
    finished = False
    try:
        for failure in chain(_networks(task), _commands(task), _specs(task)):
            wrong.append(failure)
        finished = True
    except TimeUp:
        pass
    wrong += write_outputs(folders, task.device)
    for line in wrong:
        print(f"wrong: {line}", flush=True)
    print(f"{'done' if finished else 'to be continued'}: {folders.out}", flush=True)
    return 1 if wrong else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float, help="that this call may take")
    parser.add_argument("out", type=Path, help="folder for tables and figures")
    parser.add_argument("--results", type=Path, default=Path("results/gpu"), help="folder that calls go on from")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="all of it in miniature, to try the script")
    return parser.parse_args(arguments)


def _reserve(seconds: float) -> float:
    """What stopping a training and writing the outputs may take."""
    return min(75.0, seconds / 4)


def _networks(task: Task) -> Iterator[str]:
    """Agreement and throughput: one file for each measurement, which is not made again for the same code and device.

    Yields what failed.
    """
    chosen, size = presets(task.tiny), TINY_IMAGE if task.tiny else IMAGE
    for name, preset in chosen.items():
        yield from _once(
            task, task.folders.agreement / f"{name}.json", lambda preset=preset: agreement(preset, task.device, size)
        )
    for name, preset in chosen.items():
        for batch in throughputs.TINY_BATCHES if task.tiny else throughputs.BATCHES:
            path = task.folders.throughput / f"{name}-{batch:02}.json"
            yield from _once(task, path, lambda preset=preset, batch=batch: throughput(preset, batch, task.device, task.tiny))
    for name in trainings.TINY_PRESETS if task.tiny else trainings.PRESETS:
        yield from _training(task, chosen[name])


def _training(task: Task, preset: Preset) -> Iterator[str]:
    for batch in trainings.TINY_BATCHES if task.tiny else trainings.BATCHES:
        for precision, compiled in trainings.ways(batch):
            path = task.folders.training / f"{preset.name}-{batch:03}-{precision}{'-compiled' if compiled else ''}.json"
            asked = (preset, batch, precision, compiled, task.device, task.tiny)
            yield from _once(task, path, lambda asked=asked: training(*asked))


def _commands(task: Task) -> Iterator[str]:
    """Run each of COMMANDS into a folder of its own; yields what failed."""
    for name in COMMANDS:
        folder = task.folders.commands / name
        command = [sys.executable, "-m", "benchmarks", name, "--device", task.device, "--out", str(folder)]
        command += ["--tiny", "--repeats", "2", "--threads", "1"] if task.tiny else []
        yield from _once(task, task.folders.commands / f"{name}.json", lambda command=command: _command(task, command))


def _command(task: Task, command: list[str]) -> None:
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=max(0.0, task.stop_at - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeUp from None


def _once(task: Task, path: Path, measure: Callable[[], Any]) -> Iterator[str]:
    key = {"source": source_digest(), "device": device_name(task.device)}
    if path.is_file() and key.items() <= task.folders.read(path).items():
        return
    task.check_time()
    begun = time.monotonic()
    what = f"{path.parent.name} {path.stem}"
    try:
        write_json(path, {**key, "found": measure()})
    except TimeUp:
        raise
    except Exception as error:  # whatever it is, the others are worth measuring
        traceback.print_exc()
        yield f"{what}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return
    print(f"{what}: {time.monotonic() - begun:.1f} s", flush=True)


def _specs(task: Task) -> Iterator[str]:
    """Run the specs round by round; yields what failed."""
    settings = _tiny_settings(task) if task.tiny else _settings(task)
    for seeds in ROUNDS[:2] if task.tiny else ROUNDS:
        for spec in ("crop",) if task.tiny else SPECS:
            task.check_time()
            print(f"{spec}, seeds {seeds}", flush=True)
            status = _run(task, [spec, "--seeds", seeds, "--results", str(task.folders.results), *settings])
            if status == _STOPPED:
                raise TimeUp
            if status:
                yield f"yolact run {spec} --seeds {seeds} ended with status {status}"


def _run(task: Task, arguments: list[str]) -> int:
    """`yolact run` until it ends or the time is up, in which case it saves what it is doing."""
    command = [sys.executable, "-m", "experiments.cli.main", "run", "--launcher", "inprocess", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        return process.wait(max(0.0, task.stop_at - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()  # the training goes on from its last checkpoint
        process.wait()
    return _STOPPED


def _settings(task: Task) -> list[str]:
    """Scale small; loader processes change no result, so there are as many as cores allow."""
    data = str(RECOMPRESSED) if RECOMPRESSED.is_dir() else "nuclei"
    workers = max(0, min(MOST_LOADERS, usable_cores() - 2))
    settings = ["--scale", "small", "--data", data, "--set", f"runtime.device={task.device}"]
    settings += ["--set", f"runtime.workers={workers}"]
    return settings if _pretrained() else [*settings, "--set", "model.backbone.weights=null"]


def _pretrained() -> bool:
    """Whether the small scale's ImageNet weights lie in torch hub's cache."""
    from experiments.datasets.fetch.pinned import torch_checkpoints

    return (torch_checkpoints() / PRETRAINED).is_file()


def _tiny_settings(task: Task) -> list[str]:
    declaration = task.folders.results / "tiny.yaml"
    declaration.write_text(TINY_DATA, encoding="utf-8")
    settings = ["--scale", "toy", "--data", str(declaration)]
    for setting in ("training.iterations=2", "speed.warmup=0", "speed.repeats=2", f"runtime.device={task.device}"):
        settings += ["--set", setting]
    return settings
