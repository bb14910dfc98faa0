"""Memory that is freed stays: asking for it again brings no page faults."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from yolact.runtime.memory import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("the C library isn't glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_blocks_asked_for_again_are_not_cleared_anew():
    assert _faults("kept") < 100 < 10_000 < _faults("given back")
