"""The arguments that the benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.common.timing import REPEATS
from yolact.runtime.hardware import usable_cores


def parse(description: str, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """`out`, `device`, `threads` (set for PyTorch), `repeats` and `tiny`; exits with status 2 on a wrong one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the table and the figure; without, rows are only printed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=positive, default=usable_cores(), help="of PyTorch's operators (default: all cores)")
    parser.add_argument("--repeats", type=positive, default=REPEATS, help=f"of each measurement (default: {REPEATS})")
    parser.add_argument("--tiny", action="store_true", help="all of it in miniature, to try the command")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    torch.set_num_threads(options.threads)
    return options


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)
