"""Stopping what runs on this machine."""

from __future__ import annotations

import os
import socket

import psutil
import pytest

from experiments.run import stop as stops
from experiments.run.forkserver import PARENT
from experiments.store.lease import Holder
from yolact.errors import UserError

HOLDER = Holder("token", socket.gethostname(), 1234, 0, 0.0, alive=True)


@pytest.mark.parametrize(("error", "raises"), [(ProcessLookupError, False), (PermissionError, True), (None, False)])
def test_a_process_that_is_gone_or_is_another_users(monkeypatch, error, raises):
    def kill(pid, number):
        if error is not None:
            raise error

    monkeypatch.setattr(stops.os, "kill", kill)
    if raises:
        with pytest.raises(UserError, match="1234 is another user"):
            stops.stop(HOLDER)
    else:
        assert stops.stop(HOLDER) is (error is None)


@pytest.mark.parametrize(
    ("variable", "parents", "launcher"),
    [
        ({}, {10: 1, 1: 0}, None),
        ({PARENT: "7"}, {10: 7, 7: 1, 1: 0}, 7),
        ({PARENT: "7"}, {10: 8, 8: 7, 7: 1, 1: 0}, 7),
        ({PARENT: "7"}, {10: 1, 1: 0}, None),
        ({PARENT: "seven"}, {10: 7, 7: 1}, None),
    ],
    ids=["by itself under init", "by a launcher", "by a forkserver", "launcher gone", "nonsense"],
)
def test_the_launcher_of_a_worker(monkeypatch, variable, parents, launcher):
    class Process:
        def __init__(self, pid):
            if pid not in parents:
                raise psutil.NoSuchProcess(pid)
            self.pid = pid

        def environ(self):
            return variable

        def ppid(self):
            return parents[self.pid]

    monkeypatch.setattr(stops.psutil, "Process", Process)
    assert stops.launcher(10) == launcher


def test_a_process_that_is_not_there_has_no_launcher():
    assert stops.launcher(2**22 + 1) is None
    assert stops.launcher(os.getpid()) is None
