"""Write down what the workbench makes of four small experiments: the id of every stage and the digest of every result file.

    python -m tests.golden.record --out tests/golden/golden.json [--results DIR] [--root CHECKOUT]

A reorganisation of the code must leave all of it as it is; `test_golden.py` compares. So this file knows nothing of the code
but the command line, as pyproject.toml names it, and the documented layout of a results folder. `--root` is the checkout whose
code runs; with `--results` the folder stays, to look at what differs. Takes two and a half minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = HERE / "shapes.yaml"
SCALE = "toy"
SEED = 0
TIMED = "speed"
"""The kind whose result files are times, which no two runs share. Its id depends on processor and versions."""
PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pycocotools")
"""Their versions may change the bytes of results."""
INSTRUCTIONS = ("avx", "amx", "fma", "f16c", "vnni", "asimd", "sve")
"""Beginnings of the processor's flags that say which arithmetic it has."""

# Long enough that networks find objects they were trained on: after 20 iterations every AP is 0 and no track begins, and
# results that hold nothing would pass for equal.
TRAINING = ("training.iterations=150",)
SETTINGS = (
    "training.batch_size=2",
    "training.lr=5e-3",
    "training.warmup_iterations=20",
    "training.checkpoint_every=50",
    "evaluation.split=train",
    "speed.warmup=0",
    "speed.repeats=1",
    "prototypes.images=2",
    "responses.random_networks=1",
    "probes.objects=2",
    "probes.phases=2",
    "stability.sequences=2",
    "stability.frames=6",
    "stability.score=0.1",
)


@dataclass(frozen=True)
class Run:
    """One call of `yolact run`."""

    experiment: str
    only: tuple[str, ...] = ()
    """These variants alone."""
    settings: tuple[str, ...] = TRAINING + SETTINGS


RUNS = (
    Run("quickstart"),
    Run("nms"),
    Run("stability"),
    Run("learned", ("trained",)),
    # Without the number of iterations: `--set` is laid over what a variant says, and would train the untrained network. Last,
    # since commit ff01a37, which was recorded first, cannot estimate times in a folder that holds an untrained network.
    Run("learned", ("untrained",), SETTINGS),
)


class RecordingError(Exception):
    """A stage was not done, or its folder is not as documented."""


def record(results: Path, root: Path = ROOT) -> dict[str, Any]:
    """Run everything into a fresh results folder by the code of the checkout `root`.

    Returns:
        Plain data: `code` (the commit that ran, as env.json has it), `made_on` (what bytes depend on beside the code) and
        `stages`, for every experiment and variant: `experiment, variant, seed, kind, id, inputs` (kinds) and `files` ({path in
        result/: SHA-256, None where the file holds times}).

    Raises:
        RecordingError: a run failed, or what it left is not as documented.
    """
    if results.exists() and any(results.iterdir()):
        raise RecordingError(f"{results}: is not empty; name a fresh folder")
    stages = []
    for run in RUNS:
        yolact(root, *_arguments(run, results))
        stages += _stages(run, results)
    environment = _read(results / "runs" / stages[0]["id"] / "env.json")
    return {"code": environment["code"], "made_on": made_on(), "stages": stages}


def made_on() -> dict[str, Any]:
    """What the bytes of results depend on beside the code: processor, vector instructions in use, versions.

    The model's name says too little: clouds call several generations "AMD EPYC".
    """
    import torch

    return {
        "processor": processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Name, family, model and arithmetic instructions of the first processor, as far as the system says."""
    try:
        first = cpuinfo.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        import platform

        return {"name": platform.processor() or platform.machine()}
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
    flags = (values.get("flags") or values.get("Features", "")).split()
    return {
        "name": values.get("model name") or values.get("CPU part", ""),
        "family": values.get("cpu family") or values.get("CPU architecture", ""),
        "model": values.get("model") or values.get("CPU variant", ""),
        "instructions": " ".join(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS))),
    }


def yolact(root: Path, *arguments: str) -> str:
    """Run the command line of a checkout, one thread per process. Returns what it printed; raises RecordingError."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["yolact"].partition(":")
    code = f"import sys; sys.argv[0] = 'yolact'; from {module} import {function}; sys.exit({function}())"
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RecordingError(f"yolact {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def _arguments(run: Run, results: Path) -> list[str]:
    only = [part for variant in run.only for part in ("--only", variant)]
    settings = [part for setting in run.settings for part in ("--set", setting)]
    where = ["--data", str(DATA), "--results", str(results.resolve())]
    return ["run", run.experiment, "--scale", SCALE, "--seeds", str(SEED), *only, *where, *settings]


def _stages(run: Run, results: Path) -> list[dict[str, Any]]:
    """What a run has just left, inputs before what builds on them."""
    experiment = _read(results / "experiments" / f"{run.experiment}-{SCALE}.json")
    found = []
    for made in experiment["runs"]:
        if run.only and made["variant"] not in run.only:
            continue
        for kind, stage_id in made["stages"].items():
            key = {"experiment": run.experiment, "variant": made["variant"], "seed": made["seed"], "kind": kind}
            found.append({**key, **_stage(results / "runs" / stage_id)})
    return found


def _stage(folder: Path) -> dict[str, Any]:
    stage, status = _read(folder / "stage.json"), _read(folder / "status.json")
    if status["state"] != "done":
        raise RecordingError(f"{folder}: is {status['state']}, not done")
    result = folder / "result"
    paths = sorted(path for path in result.rglob("*") if path.is_file())
    digests = {path.relative_to(result).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    if digests != status["digests"]:
        raise RecordingError(f"{folder}: the digests in status.json are not those of the files in result/")
    files = dict.fromkeys(digests) if stage["kind"] == TIMED else digests
    return {"id": stage["id"], "inputs": sorted(stage["inputs"]), "files": files}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path}: {error}") from None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.record", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the golden file to write")
    parser.add_argument("--results", type=Path, help="a fresh folder that keeps the results; else they are thrown away")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout whose code runs; this one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        try:
            golden = record(options.results or Path(temporary), options.root.resolve())
        except RecordingError as error:
            sys.exit(str(error))
    options.out.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{len(golden['stages'])} stages of variants, {len({stage['id'] for stage in golden['stages']})} different ones")


if __name__ == "__main__":
    main()
