"""Several processes against one, on the CPU: the same batch, split."""

import os
import signal

import pytest
import torch

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, random_target, tiny_model
from tests.support.processes.ranks import run_ranks
from yolact.config import (
    BackboneConfig,
    FPNConfig,
    MaskRCNNConfig,
    OctaveAnchorConfig,
    RetinaNetConfig,
    RetinaNetLossConfig,
    TowerHeadConfig,
    TrainingConfig,
)
from yolact.errors import UserError
from yolact.structures import Target
from yolact.training import distributed
from yolact.training.distributed import RankLost, joined
from yolact.training.loop import Interrupted, train
from yolact.training.ranks import Ranks, RanksError

STEPS = 6
BATCH = 4
CONFIG = TrainingConfig(
    iterations=STEPS, batch_size=BATCH, lr=1e-3, warmup_iterations=2, log_every=2, checkpoint_every=4, milestones=(0.8,)
)
BACKBONE = BackboneConfig(name="resnet_tiny", weights=None, width=4, freeze_bn=True)
FROZEN = TINY.replace(backbone=BACKBONE)
MASK_RCNN = MaskRCNNConfig(image_size=SIZE, backbone=BACKBONE, channels=8, representation=16, anchor_sizes=(8, 16, 24, 32, 48))

ADJUSTING = RetinaNetConfig(
    image_size=SIZE,
    backbone=BACKBONE,
    fpn=FPNConfig(channels=16),
    anchors=OctaveAnchorConfig(sizes=(8, 12, 16, 24, 32)),
    head=TowerHeadConfig(convs=1),
    loss=RetinaNetLossConfig(distance="self_adjusting"),
)
"""Its loss has running statistics, of all processes' positives."""


def shares(start=0, rank=0, size=1, batch=BATCH):
    """One process's part of an endless stream of batches. The last image of every second batch is empty: shares differ."""
    mine = slice(rank * batch // size, (rank + 1) * batch // size)
    while True:
        generator = torch.Generator().manual_seed(start)
        targets = [random_target(generator, n=1 + i % 3, image_id=10 * start + i) for i in range(batch)]
        if start % 2:
            t = targets[-1]
            targets[-1] = Target(t.boxes[:0], t.labels[:0], t.masks[:0], t.crowd[:0], t.image_id)
        images = torch.rand(batch, 3, SIZE, SIZE, generator=generator) * 255
        yield images[mine], targets[mine]
        start += 1


def weights(model):
    return {name: value.tolist() for name, value in model.state_dict().items()}


def trained(group, model, config=CONFIG, batch=BATCH, **options):
    """(history rows, weights) of a training in which this process takes its share."""
    source = lambda start: shares(start, group.rank, group.size, batch)  # noqa: E731
    rows = train(model, source, config, group=group, **options).rows
    return rows, weights(model)


def straight(ranks, network, config=CONFIG, batch=BATCH):
    with joined(ranks, "cpu") as group:
        return trained(group, tiny_model(network), config, batch)


def assert_close(first, second, rel=1e-4):
    for row, other in zip(first[0], second[0], strict=True):
        assert row == pytest.approx(other, rel=rel)
    for name, value in first[1].items():
        torch.testing.assert_close(torch.tensor(value), torch.tensor(second[1][name]), rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(("micro_batches", "clip"), [(1, None), (2, 1.0)])
def test_with_batch_norm_frozen_two_processes_equal_one(micro_batches, clip):
    config = CONFIG.replace(micro_batches=micro_batches, gradient_clip=clip)
    both = run_ranks(2, straight, FROZEN, config)
    assert both[0] == both[1], "weights differ between processes"
    assert_close(both[0], straight(Ranks(), FROZEN, CONFIG.replace(gradient_clip=clip)))


@pytest.mark.slow
@pytest.mark.parametrize("network", [FROZEN, FROZEN.replace(mask_branch=TINY_FC_MASK.mask_branch), MASK_RCNN, ADJUSTING])
@pytest.mark.parametrize("size", [3, 4])
def test_any_network_and_any_number_of_processes_equal_one(network, size):
    config = CONFIG.replace(batch_size=12)
    everybody = run_ranks(size, straight, network, config, 12)
    assert all(one == everybody[0] for one in everybody)
    assert_close(everybody[0], straight(Ranks(), network, config, 12), rel=1e-3)


def test_trained_batch_norm_sees_its_own_process_alone():
    """Not equal to one process, which is why the split enters the id; equal to micro-batches of the same size."""
    both = run_ranks(2, straight, TINY)
    differing = {name for name, value in both[0][1].items() if value != both[1][1][name]}
    assert both[0][0] == both[1][0]
    assert differing and all(name.endswith(("running_mean", "running_var")) for name in differing)
    one, micro = straight(Ranks(), TINY), straight(Ranks(), TINY, CONFIG.replace(micro_batches=2))
    assert both[0][0][-1]["loss"] != pytest.approx(one[0][-1]["loss"], rel=1e-4)
    for row, other in zip(both[0][0], micro[0], strict=True):
        assert row == pytest.approx(other, rel=1e-4)


def stopped_and_resumed(ranks, network, folder, stop_after):
    """Process 1 alone is told to stop; another set of weights goes on."""
    asked = []
    with joined(ranks, "cpu") as group:
        stop = lambda: asked.append(0) or (group.rank == 1 and len(asked) == stop_after)  # noqa: E731
        try:
            trained(group, tiny_model(network), checkpoint=folder, should_stop=stop)
        except Interrupted as interrupted:
            message = str(interrupted)
        resumed = trained(group, tiny_model(network, seed=9), checkpoint=folder)
        return message, resumed, trained(group, tiny_model(network))


@pytest.mark.parametrize("stop_after", [3])
def test_one_process_told_to_stop_stops_all_and_they_resume_to_the_same_bits(tmp_path, stop_after):
    for message, resumed, uninterrupted in run_ranks(2, stopped_and_resumed, TINY, tmp_path, stop_after):
        assert message == f"stopped after iteration {stop_after} of {STEPS}"
        assert resumed == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 2, 4, 5])
def test_three_processes_resume_to_the_same_bits(tmp_path, stop_after):
    config = CONFIG.replace(batch_size=6)
    for message, resumed, uninterrupted in run_ranks(3, _resumed_of_six, tmp_path, stop_after, config):
        assert message and resumed == uninterrupted


def _resumed_of_six(ranks, folder, stop_after, config):
    asked = []
    with joined(ranks, "cpu") as group:
        stop = lambda: asked.append(0) or (group.rank == 2 and len(asked) == stop_after)  # noqa: E731
        try:
            trained(group, tiny_model(TINY), config, 6, checkpoint=folder, should_stop=stop)
        except Interrupted as interrupted:
            message = str(interrupted)
        resumed = trained(group, tiny_model(TINY, seed=9), config, 6, checkpoint=folder)
        return message, resumed, trained(group, tiny_model(TINY), config, 6)


def exchange(ranks):
    with joined(ranks, "cpu") as group:
        order = []
        group.first(lambda: order.append(group.rank))
        return {
            "sum": group.sum([1.0, 10.0 * group.rank, 2.0**-40]),
            "total": group.total({"positives": 2**30 + group.rank, "images": 3}),
            "any": [group.any(flag) for flag in (False, group.rank == 1, True)],
            "gather": group.gather([group.rank, 7]),
            "share": group.share(lambda: {"rank": group.rank, "values": torch.arange(3)}, "cpu")["values"].tolist(),
            "share of nothing": group.share(lambda: None, "cpu"),
            "called": order,
        }


def test_what_is_exchanged():
    for rank, found in enumerate(run_ranks(2, exchange)):
        assert found == {
            "sum": [2.0, 10.0, 2.0**-39],
            "total": {"positives": 2**31 + 1, "images": 6},
            "any": [False, True, True],
            "gather": [0, 7, 1, 7],
            "share": [0, 1, 2],
            "share of nothing": None,
            "called": [rank],
        }


def poisoned(ranks, folder):
    """The loss of process 1 isn't finite at iteration 1."""
    events = []

    def source(start):
        for number, (images, targets) in enumerate(shares(start, group.rank, group.size), start=start):
            yield (images * float("nan") if number == group.rank == 1 else images), targets

    with joined(ranks, "cpu") as group:
        model = tiny_model(FROZEN)
        skipped = train(model, source, CONFIG, group=group, checkpoint=folder, log=events.append).skipped
    return skipped, weights(model), [event["message"] for event in events if event["event"] == "warning"]


def test_a_loss_that_is_not_finite_in_one_process_skips_the_step_in_all(tmp_path):
    (skipped, mine, warnings), others = run_ranks(2, poisoned, tmp_path)
    assert skipped == 1 and others[:2] == (skipped, mine)
    assert all(torch.tensor(value).isfinite().all() for value in mine.values())
    (warning,) = warnings
    assert "images [10, 11, 12, 13]" in warning and "iteration_1.0.pt, iteration_1.1.pt" in warning
    assert {path.name for path in (tmp_path / "not_finite").iterdir()} == {"iteration_1.0.pt", "iteration_1.1.pt"}


def ends_early(ranks, how):
    """Process 1 ends while it prepares its third batch."""

    def source(start):
        for number, batch in enumerate(shares(start, group.rank, group.size), start=start):
            if number == 2 and group.rank == 1:
                if how == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise UserError("image 7 is broken")
            yield batch

    with joined(ranks, "cpu") as group:
        train(tiny_model(FROZEN), source, CONFIG, group=group)


@pytest.mark.parametrize(
    ("how", "message"),
    [("killed", "gone without a word"), ("failed", "process 1 of 2: image 7 is broken")],
)
def test_a_lost_process_is_a_clear_failure_of_the_others(how, message):
    leader, other = run_ranks(2, ends_early, how)
    assert isinstance(leader, RankLost) and message in str(leader)
    assert other is None if how == "killed" else str(other) == "image 7 is broken"


def waits(ranks):
    distributed.JOIN_SECONDS = 1.0
    if ranks.rank == 0:
        with joined(ranks, "cpu"):
            pass


def test_who_does_not_come_is_named():
    leader, _ = run_ranks(2, waits)
    assert isinstance(leader, RanksError) and "processes [1] of 2 did not come" in str(leader)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_compiled_processes_equal_one_that_is_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    both = run_ranks(2, straight, FROZEN, CONFIG.replace(compile=True))
    assert both[0] == both[1], "weights differ between processes"
    assert_close(both[0], straight(Ranks(), FROZEN))
