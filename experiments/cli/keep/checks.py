"""Checks before a long run: environment, machine, results folder, data, weights, scheduler."""

from __future__ import annotations

import fcntl
import platform
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from experiments.datasets.declarations import declared_names
from experiments.datasets.fetch.pinned import torch_checkpoints
from experiments.datasets.find import find_dataset
from yolact.errors import UserError
from yolact.runtime.hardware import host_hardware

DISTRIBUTION = "yolact-workbench"
LEVELS = ("ok", "warning", "problem")
LITTLE_BYTES, SCARCE_BYTES = 20 * 2**30, 2 * 2**30
"""Free bytes below which a run may, or will, fill the disk: a training at the paper's scale stores about 1 GB."""
SECONDS = 20.0


@dataclass(frozen=True)
class Finding:
    level: str
    """One of LEVELS: a warning affects some uses, a problem stops runs."""
    what: str
    remedy: str = ""


def examine(results: Path, cluster: Path | None = None) -> Iterator[Finding]:
    """Run all checks, including that of the cluster's file if given; yield their findings."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        python,
        packages,
        torch,
        machine,
        lambda: results_folder(results),
        data_sets,
        weights,
        slurm,
    ]
    if cluster is not None:
        checks.append(lambda: cluster_file(cluster))
    for check in checks:
        yield from check()


def python() -> Iterator[Finding]:
    """Whether the project supports the interpreter's version."""
    wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"] if installed(DISTRIBUTION) else None
    version = platform.python_version()
    if wanted is not None and not SpecifierSet(wanted).contains(version, prereleases=True):
        yield Finding(
            "problem", f"Python {version}; the workbench needs {wanted}", "make a new environment with another Python"
        )
    else:
        yield Finding("ok", f"Python {version}")


def packages() -> Iterator[Finding]:
    """Whether the project's requirements are installed, in versions within their ranges."""
    if not installed(DISTRIBUTION):
        yield Finding("warning", f"{DISTRIBUTION} isn't installed, so versions can't be compared", "pip install -e .")
        return
    wrong = 0
    required = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    required = [needed for needed in required if needed.marker is None or needed.marker.evaluate({"extra": ""})]
    for needed in required:
        if not installed(needed.name):
            wrong += 1
            yield Finding("problem", f"{needed.name} isn't installed; needed: {needed}", "pip install -e .")
        elif not needed.specifier.contains(found := metadata.version(needed.name), prereleases=True):
            wrong += 1
            yield Finding("problem", f"{needed.name} {found}; needed: {needed.specifier}", f"pip install '{needed}'")
    if not wrong:
        yield Finding("ok", f"packages: {len(required)} required, all installed in versions that fit")


def torch() -> Iterator[Finding]:
    """Whether torch can be imported and can use the machine's GPU."""
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding(
            "problem", f"torch can't be imported: {error}", "install it again, for this machine's CUDA or for the CPU"
        )
        return
    name = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        count = torch.cuda.device_count()
        yield Finding(
            "ok", f"{name} with CUDA {torch.version.cuda}: {count} × {found.name}, {found.total_memory / 2**30:.0f} GiB"
        )
    elif shutil.which("nvidia-smi"):
        yield Finding(
            "problem",
            f"{name} can't use the GPU that nvidia-smi lists",
            "install a torch built for this CUDA driver",
        )
    else:
        remedy = "scale toy is made for CPUs; small and paper need a GPU (without one, --set runtime.device=cpu)"
        yield Finding("warning", f"{name}: no GPU on this machine", remedy)


def machine() -> Iterator[Finding]:
    """Cores and memory."""
    found = host_hardware()
    memory = found["memory_bytes"]
    text = f"{found['cpu']}: {found['usable_cores']} of {found['cores']} cores usable, {memory / 2**30:.1f} GiB of memory"
    if memory < 4 * 2**30:
        yield Finding("warning", text, "run one worker at a time: --workers 1")
    else:
        yield Finding("ok", text)


def results_folder(folder: Path) -> Iterator[Finding]:
    """Whether the results folder is writable, its file system supports locks, and it has enough free space."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".doctor-") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        yield Finding(
            "problem", f"{place}: can't be written and locked: {error.strerror}", "name another folder with --results"
        )
        return
    free = shutil.disk_usage(place).free
    text = f"{folder}: writable, {free / 2**30:.1f} GiB free"
    remedy = "make room (`yolact results gc` shows what can go), or name another folder with --results"
    if free < LITTLE_BYTES:
        yield Finding("problem" if free < SCARCE_BYTES else "warning", text, remedy)
    else:
        yield Finding("ok", text)


def data_sets() -> Iterator[Finding]:
    """Whether the files of the declared data sets exist. `yolact data check` checks their content."""
    for name in declared_names():
        try:
            dataset = find_dataset(name)
        except UserError as error:
            yield Finding("problem", f"data set {name}: {error}", "correct its declaration in experiments/data/")
            continue
        try:
            root = dataset.files_root()
        except UserError:
            yield Finding("ok", f"data set {name}: {dataset.describe()}")
            continue
        paths = [path for split in dataset.splits for path in dataset.paths(split, root)]
        missing = [path for path in paths if not path.exists()]
        if missing:
            remedy = "fetch it (`yolact data --help`), or set YOLACT_DATA to the folder that contains it"
            yield Finding("warning", f"data set {name}: {missing[0]} is missing", remedy)
        else:
            yield Finding("ok", f"data set {name}: {', '.join(dataset.splits)} in {root}")


def weights() -> Iterator[Finding]:
    """Weights that are available without a network."""
    folder = torch_checkpoints()
    found = sorted([*folder.glob("*.pth"), *folder.glob("*.pt")]) if folder.is_dir() else []
    if found:
        yield Finding("ok", f"weights in {folder}: {', '.join(path.name for path in found)}")
    else:
        remedy = "if jobs have no network, fetch them before: `yolact weights get`, or a short run on a machine that has one"
        yield Finding("warning", f"no weights in {folder}; scales small and paper fetch ImageNet weights", remedy)


def slurm() -> Iterator[Finding]:
    """Whether SLURM, if present, is configured for runs that survive preemption, and for reporting how jobs ended."""
    if not shutil.which("scontrol"):
        yield Finding("ok", f"no SLURM on {socket.gethostname()}; --launcher pool uses this machine")
        return
    if not installed("submitit"):
        yield Finding("problem", "SLURM is here, submitit isn't", f"pip install '{DISTRIBUTION}[slurm]'")
    try:
        answer = subprocess.run(
            ["scontrol", "show", "config"], capture_output=True, text=True, timeout=SECONDS, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        unknown = "configuration source" in said
        remedy = "for --launcher slurm, give this on a submission host, or set SLURM_CONF"
        yield (
            Finding("warning", "SLURM's commands are here, but no cluster is configured", remedy)
            if unknown
            else Finding("problem", f"SLURM doesn't answer: {said}", "ask whether its controller is up")
        )
        return
    yield from slurm_settings(dict(re.findall(r"^(\S+)\s*=\s*(.*?)\s*$", answer, re.MULTILINE)))


def slurm_settings(settings: dict[str, str]) -> Iterator[Finding]:
    """Findings from the output of `scontrol show config`."""
    yield Finding("ok", f"SLURM {settings.get('SLURM_VERSION', '')} on {settings.get('ClusterName', 'this cluster')}")
    if "preempt_send_user_signal" in settings.get("SlurmctldParameters", ""):
        yield Finding("ok", "SLURM: preempted jobs are signalled to save (preempt_send_user_signal)")
    else:
        remedy = (
            "ask the administrator for SlurmctldParameters=preempt_send_user_signal; until then keep checkpoint_every small"
        )
        yield Finding("warning", "SLURM: preempted jobs get no signal, and lose what came after their last checkpoint", remedy)
    if not settings.get("AccountingStorageType", "").startswith("accounting_storage/") or settings[
        "AccountingStorageType"
    ].endswith("/none"):
        yield Finding(
            "warning",
            "SLURM: accounting is off, so the reason why a job ended is available only for some minutes",
            "ask the administrator for slurmdbd; until then run `yolact status` soon after a job ends",
        )
    else:
        yield Finding("ok", "SLURM: accounting is on")
    if settings.get("JobRequeue", "1") == "0":
        remedy = "requeueing is switched off (JobRequeue=0): resubmit what a node's failure or a preemption ended"
        yield Finding("warning", "SLURM: jobs aren't requeued", remedy)


def cluster_file(path: Path) -> Iterator[Finding]:
    """Whether the cluster's file is valid, and its partitions exist if SLURM answers."""
    from experiments.launch.slurm.cluster import read_cluster
    from experiments.launch.slurm.limits import missing_partitions

    try:
        missing = list(missing_partitions(read_cluster(path)))
    except UserError as error:
        yield Finding("problem", str(error), "correct it; docs/slurm.md shows an example")
        return
    for problem in missing:
        yield Finding("problem", f"{path}: {problem}", "`sinfo` lists the partitions")
    if not missing:
        yield Finding("ok", f"{path}: read, and no partition is unknown")


def installed(distribution: str) -> bool:
    """Whether a distribution is installed."""
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
