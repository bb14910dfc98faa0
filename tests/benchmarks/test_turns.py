"""Workers that take turns: questions and answers, and what happens when one ends."""

import sys

import pytest

from benchmarks.turns import Worker, WorkerError
from tests.support.paths import ROOT

ADDER = """
import os
from benchmarks.turns import serve

held = []
def add(question):
    print("what a library prints")
    if question == "end":
        os._exit(3)
    held.append(question)
    return {"sum": sum(held), "mark": os.environ.get("MARK")}
serve(add)
"""


def adder(**environment):
    return Worker([sys.executable, "-c", ADDER], ROOT, environment)


def test_workers_answer_in_turn_and_keep_what_they_hold():
    with adder(MARK="a") as one, adder(MARK="b") as other:
        answers = [worker.ask(number) for number in (1, 2) for worker in (one, other)]
    assert [answer["sum"] for answer in answers] == [1, 1, 3, 3]
    assert [answer["mark"] for answer in answers] == ["a", "b", "a", "b"]


@pytest.mark.parametrize("asked_again", [False, True])
def test_a_worker_that_ends_is_named_with_its_status(asked_again, capfd):
    with adder() as worker:
        for _ in range(1 + asked_again):
            with pytest.raises(WorkerError, match="status 3"):
                worker.ask("end")
    assert "what a library prints" in capfd.readouterr().err


def test_a_worker_ends_with_its_owner():
    with adder() as worker:
        process = worker._process
        worker.ask(1)
    assert process.poll() is not None
