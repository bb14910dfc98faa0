"""Workers: requests and replies, and the error when one ends."""

import sys

import pytest

from benchmarks.common.workers import Worker, WorkerError
from tests.support.paths import ROOT

ADDER = """
import os
from benchmarks.common.workers import serve

held = []
def add(request):
    print("what a library prints")
    if request == "end":
        os._exit(3)
    held.append(request)
    return {"sum": sum(held), "mark": os.environ.get("MARK")}
serve(add)
"""


def adder(**environment):
    return Worker([sys.executable, "-c", ADDER], ROOT, environment)


def test_workers_reply_alternately_and_keep_their_state():
    with adder(MARK="a") as one, adder(MARK="b") as other:
        replies = [worker.call(number) for number in (1, 2) for worker in (one, other)]
    assert [reply["sum"] for reply in replies] == [1, 1, 3, 3]
    assert [reply["mark"] for reply in replies] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("called_again", [False, True])
def test_a_worker_that_ends_is_named_with_its_status(called_again, capfd):
    with adder() as worker:
        for _ in range(1 + called_again):
            with pytest.raises(WorkerError, match="status 3"):
                worker.call("end")
    assert "what a library prints" in capfd.readouterr().err


def test_a_worker_ends_with_its_owner():
    with adder() as worker:
        process = worker._process
        worker.call(1)
    assert process.poll() is not None
