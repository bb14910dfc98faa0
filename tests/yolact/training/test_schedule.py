import pytest

from yolact.config import TrainingConfig
from yolact.config.presets import PRESETS
from yolact.training.schedule import learning_rate

# reference-implementation.md, 3.3: iteration and learning rate of the released COCO schedule
PUBLISHED = [
    (0, 1e-4),
    (250, 5.5e-4),
    (500, 1e-3),
    (501, 1e-3),
    (279_999, 1e-3),
    (280_000, 1e-4),
    (599_999, 1e-4),
    (600_000, 1e-5),
    (700_000, 1e-6),
    (750_000, 1e-7),
    (799_999, 1e-7),
]


@pytest.mark.parametrize(("iteration", "rate"), PUBLISHED)
def test_published_coco_schedule(iteration, rate):
    assert learning_rate(iteration, PRESETS["yolact_base"].training) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize(
    ("iteration", "rate"), [(59_999, 1e-3), (60_000, 1e-4), (99_999, 1e-4), (100_000, 1e-5), (119_999, 1e-5)]
)
def test_published_pascal_schedule(iteration, rate):
    training = PRESETS["yolact_resnet50_pascal"].training
    assert training.iterations == 120_000
    assert learning_rate(iteration, training) == pytest.approx(rate, rel=1e-9)


def test_published_optimiser():
    training = PRESETS["yolact_base"].training
    assert (training.iterations, training.batch_size, training.momentum, training.weight_decay) == (800_000, 8, 0.9, 5e-4)


@pytest.mark.parametrize("iterations", [2, 7, 100, 3001])
def test_the_steps_scale_to_any_length(iterations):
    config = TrainingConfig(iterations=iterations, warmup_iterations=0)
    rates = [learning_rate(i, config) for i in range(iterations)]
    assert rates == sorted(rates, reverse=True) and rates[0] == config.lr
    for fraction, power in zip(config.milestones, range(1, 5), strict=True):
        if round(fraction * iterations) < iterations:
            assert rates[round(fraction * iterations)] <= config.lr * config.gamma**power * (1 + 1e-9)


def test_no_warm_up_and_no_steps():
    config = TrainingConfig(iterations=10, warmup_iterations=0, milestones=())
    assert {learning_rate(i, config) for i in range(10)} == {config.lr}
