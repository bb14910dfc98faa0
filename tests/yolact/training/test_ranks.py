"""Where a process stands, from what launchers tell it."""

import pytest

from yolact.training.ranks import ALONE, Ranks, RanksError, first_node, ranks_from

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu01", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "4",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "70123",
    "SLURM_JOB_NODELIST": "gpu[07-08]",
}


@pytest.mark.parametrize(
    ("environment", "processes", "expected"),
    [
        ({}, 1, ALONE),
        ({"RANK": "0", "WORLD_SIZE": "1"}, 1, ALONE),
        (SLURM, 1, ALONE),  # a job of several tasks in which one stage runs by itself
        (TORCHRUN, 4, Ranks(1, 4, 1, "gpu01", 29500)),
        (TORCHRUN | {"TORCHELASTIC_USE_AGENT_STORE": "True"}, 4, Ranks(1, 4, 1, "gpu01", 29500, served=True)),
        (TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "2"}, 4, Ranks(1, 4, 1, "gpu01", 29500, restart=2)),
        (SLURM, 4, Ranks(3, 4, 1, "gpu07", 30123)),
        (SLURM | {"SLURM_STEP_NODELIST": "127.0.0.[1-2]"}, 4, Ranks(3, 4, 1, "127.0.0.1", 30123)),
        (SLURM | {"MASTER_ADDR": "head", "MASTER_PORT": "5"}, 4, Ranks(3, 4, 1, "head", 5)),
        (SLURM | TORCHRUN, 4, Ranks(1, 4, 1, "gpu01", 29500)),  # torchrun inside a job
    ],
)
def test_place(environment, processes, expected):
    assert ranks_from(environment, processes) == expected


@pytest.mark.parametrize(
    ("environment", "processes", "message"),
    [
        ({}, 2, r"planned for 2 processes, started with 1.*runtime\.devices.*torchrun --nproc-per-node 2"),
        (TORCHRUN, 1, r"planned for 1 process, started with 4"),
        (TORCHRUN, 2, r"planned for 2 processes, started with 4"),
        (SLURM, 8, r"planned for 8 processes, started with 4"),
        (TORCHRUN | {"MASTER_PORT": ""}, 4, "MASTER_PORT is not set"),
        (TORCHRUN | {"RANK": "one"}, 4, "RANK must be a whole number, got 'one'"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "7"}, 2, "SLURM_JOB_NODELIST is not set"),
    ],
)
def test_what_is_refused(environment, processes, message):
    with pytest.raises(RanksError, match=message):
        ranks_from(environment, processes)


# as `scontrol show hostnames LIST` gives them
@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu1", "gpu1"),
        ("gpu1,gpu2", "gpu1"),
        ("gpu[03-05,9],login", "gpu03"),
        ("gpu[7,9]", "gpu7"),
        ("rack[2-3]node[10-12]", "rack2node10"),
        ("a[1-2]-ib,b", "a1-ib"),
        ("127.0.0.[1-2]", "127.0.0.1"),
    ],
)
def test_first_node(nodes, first):
    assert first_node(nodes) == first
