"""How many images per second a training step takes, how many the loader gives, and which part of a step is the limit.

Claim: with --against, this code trains faster than that of another checkout, along the same loss curve. Cost: two minutes for
the toy network on one idle core, half an hour for YOLACT-550 with ResNet-50. To reproduce:

    python benchmarks/training.py --against ../before --out results/reference/cpu/training.csv

Protocol: a process per checkout, which take turns step by step, so that other work on the machine meets all alike; one step
to warm up, then `--steps`. Each step trains on images of random numbers and 7 random boxes per image, through
`yolact.training.train`; the loader reads generated JPEG images with the case's augmentations, anew each time. Medians and
quartiles of wall time and of processor time (all threads); `images_per_second` is of wall time. `loss_difference` is the
largest relative difference of the loss between this code and the other, over all steps. `loader` to `other` are seconds per
step by the training log's own breakdown; its loader is the wait for one's turn.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
CASES = ("toy", "r50", "toy-loader", "r50-loader")
BATCH = {"toy": 8, "r50": 2}


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure what the command line asks for; returns the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of this project to compare with")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of this code; the other stays at fp32")
    parser.add_argument("--out", type=Path, help="CSV to write")
    asked = parser.parse_args(arguments)
    rows = []
    for case in asked.cases:
        rows += measure(case, asked.against, asked.steps, asked.threads, asked.precision)
    text = table(rows)
    print(text, end="")
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text)
    return rows


def measure(case: str, against: Path | None, steps: int, threads: int, precision: str) -> list[dict[str, Any]]:
    """One row per checkout."""
    codes = {"this": (HERE.parents[1], precision)} | ({} if against is None else {"other": (against.resolve(), "fp32")})
    with tempfile.TemporaryDirectory() as folder:
        workers = {
            name: _Worker(checkout, case, steps + 1, threads, kind, Path(folder)) for name, (checkout, kind) in codes.items()
        }
        try:
            for worker in workers.values():
                worker.step()
            times: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
            for _ in range(steps):
                for name, worker in workers.items():
                    times[name].append(worker.step())
            ends = {name: worker.finish() for name, worker in workers.items()}
        finally:
            for worker in workers.values():
                worker.close()
    rows = [_row(case, name, codes[name][1], threads, times[name], ends[name]) for name in workers]
    if against is not None:
        rows[0]["speedup"] = round(rows[1]["wall_median"] / rows[0]["wall_median"], 3)
        rows[0]["speedup_processor"] = round(rows[1]["processor_median"] / rows[0]["processor_median"], 3)
        rows[0]["loss_difference"] = _difference(ends["this"]["losses"], ends["other"]["losses"])
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """CSV with every column that any row has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class _Worker:
    """A process that runs one checkout's code, a step when asked."""

    def __init__(self, checkout: Path, case: str, steps: int, threads: int, precision: str, folder: Path) -> None:
        order = [sys.executable, str(HERE), case, str(steps), str(threads), precision, str(folder)]
        environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads), _IS_WORKER: "1"}
        pipe: Any = subprocess.PIPE
        self._process: Any = subprocess.Popen(order, stdin=pipe, stdout=pipe, text=True, cwd=checkout, env=environment)

    def step(self) -> tuple[float, float]:
        """(wall, processor) seconds of the next step."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return tuple(self._read())

    def finish(self) -> dict[str, Any]:
        """What the process has to say after its last step."""
        return self._read()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def _read(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended early: {self._process.args}")
        return json.loads(line)


def _row(
    case: str, code: str, precision: str, threads: int, times: list[tuple[float, float]], end: dict[str, Any]
) -> dict[str, Any]:
    images, row = BATCH[case.removesuffix("-loader")], {}
    for name, values in zip(("wall", "processor"), zip(*times, strict=True), strict=True):
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        row |= {f"{name}_median": round(middle, 5), f"{name}_p25": round(low, 5), f"{name}_p75": round(high, 5)}
    seconds = {part: round(value / (len(times) + 1), 5) for part, value in end["seconds"].items()}
    rates = {
        "images_per_second": round(images / row["wall_median"], 3),
        "images_per_second_of_processor": round(images / row["processor_median"], 3),
    }
    fixed = {"case": case, "code": code, "precision": precision, "threads": threads, "batch": images, "steps": len(times)}
    return fixed | rates | row | seconds


def _difference(these: list[float], others: list[float]) -> float | str:
    return max((abs(a - b) / abs(b) for a, b in zip(these, others, strict=True)), default="")


_IS_WORKER = "YOLACT_BENCHMARK_WORKER"


def _work(case: str, steps: int, threads: int, precision: str, folder: Path) -> None:
    """Inside a worker: make a step for every line that comes, and answer each with its times."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if case.endswith("-loader"):
        from training_data import batches_of

        _turns(
            iter(batches_of(case.removesuffix("-loader"), BATCH[case.removesuffix("-loader")], steps, folder)).__next__, steps
        )
        print(json.dumps({"losses": [], "seconds": {}}), flush=True)
    else:
        print(json.dumps(_train(case, steps, precision)), flush=True)


def _turns(step: Callable[[], Any], steps: int) -> None:
    for _ in range(steps):
        sys.stdin.readline()
        begin = _clocks()
        step()
        _answer(begin)


def _train(case: str, steps: int, precision: str) -> dict[str, Any]:
    from training_data import batch_of, network

    from yolact.config import TrainingConfig
    from yolact.training import train

    model = network(case)
    batch, begin, seconds = batch_of(BATCH[case], model.image_size, model.num_classes), (0.0, 0.0), {}

    def batches(start: int) -> Iterator[Any]:
        nonlocal begin
        for number in range(steps):
            if number:
                _answer(begin)
            sys.stdin.readline()
            begin = _clocks()
            yield batch

    def log(event: dict[str, Any]) -> None:
        for part, value in event.get("seconds", {}).items():
            seconds[part] = seconds.get(part, 0.0) + value

    # a learning rate that keeps the random network from amplifying rounding, which is what the loss curves are compared for
    config = TrainingConfig(iterations=steps, batch_size=BATCH[case], log_every=1, precision=precision, lr=1e-4)
    history = train(model, batches, config, log=log)
    _answer(begin)
    return {"losses": [row["loss"] for row in history.rows], "seconds": seconds}


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _answer(begin: tuple[float, float]) -> None:
    print(json.dumps([now - then for now, then in zip(_clocks(), begin, strict=True)]), flush=True)


if __name__ == "__main__":
    if os.environ.get(_IS_WORKER):
        _case, _steps, _threads, _precision, _folder = sys.argv[1:]
        _work(_case, int(_steps), int(_threads), _precision, Path(_folder))
    else:
        main()
