"""RetinaMask's self-adjusting smooth L1. Numbers in comments are those of the fact sheet."""

import pytest
import torch

from tests.support.networks import random_batch, tiny_model
from tests.yolact.models.test_retinanet_head import ADJUSTING
from yolact.config import RetinaNetLossConfig, TrainingConfig
from yolact.models.checkpoint import write_state_dict
from yolact.models.one_stage.heads.retinanet_losses import SelfAdjustingSmoothL1
from yolact.training.loop import Interrupted, train

CONFIG = TrainingConfig(iterations=4, batch_size=4, lr=1e-2, warmup_iterations=0, checkpoint_every=100)
STATISTICS = ("head.adjusting.mean", "head.adjusting.variance")


def fresh(before_use=True):
    return SelfAdjustingSmoothL1(0.11, 0.1, before_use).train()


def test_the_worked_steps():  # 31; one coordinate
    loss = fresh()
    made = loss(torch.tensor([[0.2], [0.4]]).expand(2, 4))
    assert loss.mean[0].item() == pytest.approx(0.129) and loss.variance[0].item() == pytest.approx(0.002)
    assert loss.beta()[0].item() == pytest.approx(0.11)
    assert made[:, 0].tolist() == pytest.approx([0.145, 0.345]) and made[:, 0].sum().item() == pytest.approx(0.49)

    loss = fresh()
    made = loss(torch.tensor([[0.02], [0.04]]).expand(2, 4))
    assert loss.mean[0].item() == pytest.approx(0.102) and loss.variance[0].item() == pytest.approx(0.00002)
    assert loss.beta()[0].item() == pytest.approx(0.10198) and made[:, 0].sum().item() == pytest.approx(0.009806, abs=5e-7)

    loss = fresh()
    assert loss(torch.full((1, 4), 0.3))[0, 0].item() == pytest.approx(0.245)  # 11: one positive has no variance
    assert loss.mean.allclose(torch.tensor(0.11)) and not loss.variance.any()
    assert loss(torch.zeros(0, 4)).sum() == 0 and loss.beta().allclose(torch.tensor(0.11))


def test_beta_follows_small_distances_and_stays_in_its_range():  # 31
    loss = fresh()
    for _ in range(200):
        loss(torch.full((8, 4), 0.01))
    assert loss.beta().allclose(torch.tensor(0.01), atol=1e-4)
    for _ in range(200):
        loss(torch.tensor([[0.0], [3.0]]).expand(2, 4))
    assert loss.beta().allclose(torch.tensor(1e-3))


def test_continuous_with_its_slope_at_beta():  # 31
    loss = fresh().eval()
    at = torch.tensor([[0.11 - 1e-4], [0.11 + 1e-4]]).expand(2, 4).clone().requires_grad_()
    made = loss(at)
    made.sum().backward()
    assert made[0, 0].item() == pytest.approx(made[1, 0].item(), abs=3e-4)
    assert at.grad[:, 0].tolist() == pytest.approx([1, 1], abs=2e-3)


def test_after_a_step_it_takes_the_sums_of_the_whole_batch():
    distance = torch.rand(10, 4, generator=torch.Generator().manual_seed(0)) * 0.1
    whole, split, at_once = fresh(False), fresh(False), fresh()
    whole(distance)
    split(distance[:3])
    split(distance[3:])
    assert whole.beta().allclose(torch.tensor(0.11))  # that of the steps before
    for loss in (whole, split):
        loss.update(loss.observed())
        assert loss.observed() == [0] * 9
    at_once(distance)
    for name in ("mean", "variance"):
        torch.testing.assert_close(getattr(whole, name), getattr(split, name), rtol=1e-6, atol=0)
        torch.testing.assert_close(getattr(whole, name), getattr(at_once, name), rtol=1e-6, atol=0)
    before = whole.mean.clone()
    whole.update([5.0, *[float("nan")] * 8])
    assert torch.equal(whole.mean, before)
    assert whole.eval()(distance) is not None and whole.seen is None


def batches(start):
    return (random_batch(number, images=4, n=2) for number in range(start, 100))


def trained(config=CONFIG, model=ADJUSTING, **options):
    network = tiny_model(model)
    train(network, batches, config, **options)
    return network.state_dict()


def test_micro_batches_make_no_difference():  # 36
    model = ADJUSTING.replace(backbone=ADJUSTING.backbone.replace(freeze_bn=True))
    whole, split = trained(CONFIG, model), trained(CONFIG.replace(micro_batches=2), model)
    for name in STATISTICS:
        assert not torch.equal(whole[name], tiny_model(model).state_dict()[name])
        torch.testing.assert_close(split[name], whole[name], rtol=1e-5, atol=1e-7)


def test_the_official_way_depends_on_the_split():  # 12
    official = ADJUSTING.replace(loss=RetinaNetLossConfig(distance="self_adjusting", adjust_before_use=True))
    once = CONFIG.replace(iterations=1)
    whole, split = trained(once, official), trained(once.replace(micro_batches=2), official)
    assert not torch.allclose(split[STATISTICS[0]], whole[STATISTICS[0]], rtol=1e-3)


def test_resumed_it_has_the_same_bytes(tmp_path):  # 12, 36
    straight = tiny_model(ADJUSTING)
    train(straight, batches, CONFIG)
    stops = iter([False, True])
    with pytest.raises(Interrupted):
        train(tiny_model(ADJUSTING), batches, CONFIG, checkpoint=tmp_path, should_stop=lambda: next(stops))
    resumed = tiny_model(ADJUSTING, seed=9)
    train(resumed, batches, CONFIG, checkpoint=tmp_path)
    for name, model in (("a", straight), ("b", resumed)):
        write_state_dict(model.state_dict(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
