"""A real SLURM on this machine for tests: two virtual nodes on loopback, without systemd, cgroups, or files under /etc.

    python -m tests.slurm.virtual_cluster FOLDER      start one, wait for Ctrl-C, stop it

Debian's packages: munge slurmctld slurmd slurm-client, and for accounting slurmdbd slurm-wlm-mysql-plugin mariadb-server.
Root or not. The nodes are named 127.0.0.1 and 127.0.0.2 because both resolve everywhere. Every daemon is stopped by its pid.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

NODES = ("127.0.0.1", "127.0.0.2")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
START_SECONDS = 60.0


def missing(accounting: bool = True) -> list[str]:
    """Programs that are needed and not installed."""
    return [name for name in (*NEEDED, *(ACCOUNTING if accounting else ())) if shutil.which(name, path=SEARCH) is None]


class VirtualCluster:
    """Started by `start`, ended by `stop`; `environment` makes SLURM's commands speak to it."""

    def __init__(self, folder: Path, accounting: bool = True, cpus: int = 2, gpus: int = 2, memory_mb: int = 4000) -> None:
        self.folder, self.accounting, self.cpus, self.gpus, self.memory_mb = folder, accounting, cpus, gpus, memory_mb
        self.user = getpass.getuser()
        self.socket = folder / "sock" / "munge"
        self.ports = _free_ports(3 + len(NODES))
        self.children: list[subprocess.Popen] = []
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": SEARCH}

    def start(self) -> None:
        """Start every daemon and wait until the nodes are idle."""
        self._write()
        mine = self.folder / "munge"
        self._run("munged", f"--socket={self.socket}", f"--key-file={mine}/key", f"--pid-file={mine}/munged.pid",
                  f"--seed-file={mine}/seed", f"--log-file={mine}/munged.log")  # fmt: skip
        if self.accounting:
            self._start_accounting()
        self._run("slurmctld", "-i")
        for node in NODES:
            self._run("slurmd", "-N", node)
        self._wait(lambda: self.ask("sinfo", "-h", "-N", "-p", "ci", "-o", "%T").split() == ["idle"] * len(NODES), "idle nodes")

    def stop(self) -> None:
        """Cancel all jobs and end every daemon, the last started first."""
        subprocess.run(["scancel", f"--user={self.user}"], env=self.environment, capture_output=True, check=False, timeout=30)
        for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld", "slurmdbd", "munge/munged"):
            _end(self.folder / f"{name}.pid")
        for child in self.children:
            child.terminate()
            child.wait(timeout=30)

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60).stdout

    def _run(self, *command: str) -> None:
        found = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        if found.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {found.returncode}: {found.stderr.strip()}")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + START_SECONDS
        while not condition():
            if time.monotonic() > end:
                logs = [f"== {path}\n{path.read_text(errors='replace')[-2000:]}" for path in self.folder.rglob("*.log")]
                raise RuntimeError(f"waited {START_SECONDS:.0f} s for {what}\n" + "\n".join(logs))
            time.sleep(0.1)

    def _write(self) -> None:
        for name in ("sock", "munge", "state", "log", "cgroup", "db"):
            (self.folder / name).mkdir(parents=True)
        # munged wants its key secret and its socket within everybody's reach
        (self.folder / "munge").chmod(0o700)
        for folder in (self.folder, self.folder / "sock", self.folder / "log"):
            folder.chmod(0o755)
        key = self.folder / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        (self.folder / "slurm.conf").write_text(self._slurm_conf())
        # slurmd loads a cgroup plugin though nothing here uses one; v1 with an empty folder keeps it from /sys/fs/cgroup
        (self.folder / "cgroup.conf").write_text(f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={self.folder}/cgroup\n")
        if self.gpus:
            (self.folder / "gres.conf").write_text(f"Name=gpu File={self._devices()}[0-{self.gpus - 1}]\n")

    def _devices(self) -> str:
        """A stem of character devices that pass for graphics cards: SLURM makes CUDA_VISIBLE_DEVICES from their numbers."""
        stem = "/dev/tty"
        if not os.path.exists("/dev/tty0"):
            stem = f"{self.folder}/gpu"
            for number in range(self.gpus):
                os.mknod(f"{stem}{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        return stem

    def _slurm_conf(self) -> str:
        """What each group of lines is for stands above it."""
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        lines = f"""
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={self.ports[0]}
SlurmUser={self.user}
SlurmdUser={self.user}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
CredType=cred/munge
# a requeued job waits as long as its credential lives; KillWait must stay below, or the old process outlives the wait
AuthInfo=socket={self.socket},cred_expire=8
KillWait=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
# preemption as docs/slurm.md asks of a cluster
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
# neither cgroups nor systemd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
# schedule at once, remember long
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
MinJobAge=3600
ReturnToService=2
""".strip().splitlines()
        if self.accounting:
            lines += ["AccountingStorageType=accounting_storage/slurmdbd", "AccountingStorageHost=localhost"]
            lines += [f"AccountingStoragePort={self.ports[1]}", f"AccountingStoragePass={self.socket}"]
        else:
            lines += ["AccountingStorageType=accounting_storage/none"]
        gres = f"Gres=gpu:{self.gpus}" if self.gpus else ""
        lines += ["GresTypes=gpu"] if self.gpus else []
        for node, port in zip(NODES, self.ports[3:], strict=True):
            size = f"CPUs={self.cpus} RealMemory={self.memory_mb} {gres}"
            lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {size} State=UNKNOWN")
        every = f"Nodes={','.join(NODES)} MaxTime=01:00:00 State=UP"
        lines.append(f"PartitionName=ci {every} Default=YES PriorityTier=10 GraceTime=5")
        lines.append(f"PartitionName=urgent {every} PriorityTier=20 PreemptMode=OFF")
        return "\n".join(lines) + "\n"

    def _start_accounting(self) -> None:
        folder = self.folder
        database = folder / "sock" / "mysql"
        conf = folder / "slurmdbd.conf"
        conf.touch(mode=0o600)
        conf.write_text(
            f"AuthType=auth/munge\nAuthInfo=socket={self.socket}\nDbdHost=localhost\nDbdPort={self.ports[1]}\n"
            f"SlurmUser={self.user}\nPidFile={folder}/slurmdbd.pid\nLogFile={folder}/log/slurmdbd.log\n"
            f"StorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\nStoragePort={self.ports[2]}\n"
            "StorageUser=slurm\nStoragePass=slurm\nStorageLoc=slurm_accounting\n"
        )
        self._run("mariadb-install-db", "--no-defaults", f"--user={self.user}", f"--datadir={folder}/db",
                  "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
        server = ["mariadbd", "--no-defaults", f"--user={self.user}", f"--datadir={folder}/db", f"--socket={database}"]
        server += ["--bind-address=127.0.0.1", f"--port={self.ports[2]}", f"--log-error={folder}/log/mariadbd.log"]
        quiet = subprocess.DEVNULL
        self.children.append(subprocess.Popen(server, env=self.environment, stdin=quiet, stdout=quiet, stderr=quiet))
        client = ("mariadb", "--no-defaults", f"--socket={database}", "--user=root", "-N", "-e")
        self._wait(lambda: self.ask(*client, "select 1").strip() == "1", "the database")
        users = [f"'slurm'@'{host}'" for host in ("127.0.0.1", "localhost")]
        made = [f"create user {user} identified by 'slurm'; grant all on slurm_accounting.* to {user};" for user in users]
        self._run(*client, "create database slurm_accounting; " + " ".join(made))
        self._run("slurmdbd")
        manager = ("sacctmgr", "--immediate", "--noheader")
        self._wait(lambda: self._succeeds(*manager, "show", "cluster"), "slurmdbd")
        self._run(*manager, "add", "cluster", "test")

    def _succeeds(self, *command: str) -> bool:
        return subprocess.run(command, env=self.environment, capture_output=True, check=False, timeout=60).returncode == 0


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def _end(pid_file: Path) -> None:
    """Terminate the process of a pid file and wait until it is gone."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    end = time.monotonic() + 20.0
    while _lives(pid) and time.monotonic() < end:
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


if __name__ == "__main__":
    cluster = VirtualCluster(Path(sys.argv[1]).absolute())
    try:
        cluster.start()
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    finally:
        cluster.stop()
