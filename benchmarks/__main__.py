"""The command line of all benchmarks: `python -m benchmarks NAME [OPTIONS]`.

A module with `main(arguments)` is a benchmark. Those of the project have a name in `BENCHMARKS`; any other runs by its import
path: `python -m benchmarks package.module`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from yolact.errors import UserError

BENCHMARKS = {
    "inference": ("engines.inference", "latency of every engine by stage, and its growth with detections"),
    "nms": ("engines.nms", "Fast NMS beside standard, cross-class and traditional NMS"),
    "roofline": ("engines.roofline", "operations and bytes of each section against the machine's rates"),
    "training": ("training.compare", "training beside an earlier checkout's"),
    "peers": ("peers.compare", "YOLACT beside other instance segmenters"),
    "gpu": ("gpu.everything", "all measurements on a GPU, in calls of limited time"),
    "gpu-data": ("gpu.data", "a COCO-format data set recompressed as JPEG, for a GPU machine"),
    "scaling": ("scale.scaling", "latency and memory over batch, image size, prototypes, detections, classes"),
    "evaluation": ("scale.evaluation", "backends of COCO evaluation on 200,000 detections"),
    "encoding": ("regressions.encoding", "masks as RLE, inline and behind the network"),
    "planning": ("regressions.planning", "`yolact plan` and `yolact status` up to 10,000 stages"),
    "suite": ("regressions.suite", "processes and forward passes that a suite shares"),
    "video": ("regressions.video", "video with decoding and drawing beside the network"),
}
"""{name: (module below `benchmarks`, what it measures)}; a module is imported only when its benchmark runs."""


def load(name: str) -> ModuleType:
    """The module of a benchmark, by its name or by an import path.

    Raises:
        UserError: there is no such benchmark; the message lists the names.
    """
    path = f"benchmarks.{BENCHMARKS[name][0]}" if name in BENCHMARKS else name
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise  # the module exists, and imports something that does not
        raise UserError(
            f"{name}: no such benchmark; name one of {', '.join(BENCHMARKS)}, or a module by its import path"
        ) from None
    if not callable(getattr(module, "main", None)):
        raise UserError(f"{name}: the module has no function `main`; a benchmark is a module with `main(arguments)`")
    return module


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark that the first argument names with the others; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m benchmarks NAME [OPTIONS]; NAME --help describes a benchmark\n")
        for name, (_, measured) in BENCHMARKS.items():
            print(f"  {name:<12}{measured}")
        return 0 if arguments else 2
    name, *rest = arguments
    sys.argv[0] = f"python -m benchmarks {name}"  # argparse's name of the program
    try:
        return load(name).main(rest) or 0
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
