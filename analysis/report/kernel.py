"""A notebook kernel that is this very interpreter, whatever kernels are installed on the machine."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from analysis.report.notebooks import ROOT


class ThisInterpreter(AsyncKernelManager):
    """Starts `sys.executable` with this project importable; profile, sockets and connection file live in a temporary folder.

    Sockets are files of this user, so that nobody else on the machine can talk to the kernel.
    """

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._folder = tempfile.TemporaryDirectory(prefix="yolact-kernel-", ignore_cleanup_errors=True)
        self.transport, self.ip = "ipc", os.path.join(self._folder.name, "socket")
        self.connection_file = os.path.join(self._folder.name, "connection.json")

    @property
    def kernel_spec(self) -> KernelSpec:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"],
            display_name="Python 3",
            language="python",
            env={"PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": self._folder.name, "MPLBACKEND": "agg"},
        )
