"""Runs a function in several processes that train together, without importing torch anew in each."""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from collections.abc import Callable
from typing import Any

from yolact.training.ranks import Ranks

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["yolact.training.loop", "yolact.training.distributed", "tests.support.networks"])
SECONDS = 300


def run_ranks(size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(ranks, *arguments)` returned or raised in each process, by rank; None where it was killed.

    Results must be plain values: tensors would live in shared memory of a process that is over.
    """
    port = free_port()
    pipes, processes = [], []
    for rank in range(size):
        ours, theirs = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_run, args=(theirs, function, Ranks(rank, size, rank, port=port), arguments))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        return [_receive(pipe) for pipe in pipes]
    finally:
        for process in processes:
            process.join(SECONDS)
            process.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _receive(pipe: Any) -> Any:
    if not pipe.poll(SECONDS):
        raise TimeoutError(f"a process gave no answer within {SECONDS} s")
    try:
        return pipe.recv()
    except EOFError:
        return None


def _run(pipe: Any, function: Callable[..., Any], ranks: Ranks, arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        result = function(ranks, *arguments)
    except Exception as error:
        traceback.print_exc()
        result = error
    pipe.send(result)
