"""The loop on a network of a few thousand parameters."""

import itertools
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, random_target, tiny_model
from yolact.config import BackboneConfig, TrainingConfig
from yolact.errors import UserError
from yolact.models.checkpoint import read_state_dict, write_state_dict
from yolact.structures import Target
from yolact.training.loop import Diverged, Interrupted, train

STEPS = 6
CONFIG = TrainingConfig(iterations=STEPS, batch_size=2, lr=1e-3, warmup_iterations=2, log_every=2, checkpoint_every=2)


def batches(start=0, seed=0, size=2):
    """Endless, each batch drawn from its own number."""
    while True:
        generator = torch.Generator().manual_seed(1000 * seed + start)
        targets = [random_target(generator, n=2, image_id=10 * start + i) for i in range(size)]
        yield torch.rand(size, 3, SIZE, SIZE, generator=generator) * 255, targets
        start += 1


def weights_file(model, folder):
    path = folder / "weights.pt"
    write_state_dict(model.state_dict(), path)
    return path.read_bytes()


@pytest.mark.parametrize("config", [TINY, TINY_FC_MASK], ids=["prototypes", "fc-mask"])
@pytest.mark.parametrize("stop_after", range(1, STEPS))
def test_stopped_anywhere_and_resumed_gives_the_same_bytes(tmp_path, config, stop_after):
    straight = tiny_model(config)
    history = train(straight, batches, CONFIG)

    halves = []
    with pytest.raises(Interrupted, match=f"after iteration {stop_after} of {STEPS}"):
        train(
            tiny_model(config),
            batches,
            CONFIG,
            checkpoint=tmp_path / "checkpoint",
            should_stop=lambda: halves.append(0) or len(halves) == stop_after,
        )
    resumed = tiny_model(config, seed=99)
    again = train(resumed, batches, CONFIG, checkpoint=tmp_path / "checkpoint")

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert weights_file(resumed, tmp_path / "a") == weights_file(straight, tmp_path / "b")
    assert again.rows == history.rows and [row["iteration"] for row in again.rows] == [2, 4, 6]


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_resumes_to_the_same_bytes(tmp_path, optimizer):
    config = CONFIG.replace(optimizer=optimizer)
    straight, resumed = tiny_model(), tiny_model(seed=99)
    train(straight, batches, config)
    halves = []
    with pytest.raises(Interrupted):
        train(tiny_model(), batches, config, checkpoint=tmp_path, should_stop=lambda: halves.append(0) or len(halves) == 3)
    train(resumed, batches, config, checkpoint=tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert weights_file(resumed, tmp_path / "a") == weights_file(straight, tmp_path / "b")


def test_adam_is_torchs_and_decays_as_named():
    one = CONFIG.replace(iterations=1, warmup_iterations=0, milestones=(), lr=0.01, weight_decay=0.1, momentum=0.8)
    for name, kind in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        made, expected = tiny_model(FROZEN), tiny_model(FROZEN)
        train(made, batches, one.replace(optimizer=name))
        images, targets = next(batches())
        optimizer = kind(expected.parameters(), lr=0.01, betas=(0.8, 0.999), weight_decay=0.1)
        sum(expected.train().loss(images, expected.assign(targets)).values()).backward()
        optimizer.step()
        for (key, a), b in zip(made.named_parameters(), expected.parameters(), strict=True):
            if a.requires_grad:  # a first step goes by the sign of the gradient; where that is next to 0, rounding decides
                assert ((a - b).abs() < 1e-4).float().mean() > 0.98, key


def test_the_optimiser_is_left_out_of_plain_data_at_its_default():
    assert "optimizer" not in TrainingConfig().to_data()
    adam = TrainingConfig(optimizer="adam")
    assert adam.to_data()["optimizer"] == "adam" and adam.essence() == {"optimizer": "adam"}


def test_killed_between_checkpoints_resumes_from_the_last(tmp_path):
    def dying(start):
        for number, batch in enumerate(batches(start)):
            if start + number == 5:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), dying, CONFIG, checkpoint=tmp_path / "c")
    seen = []
    resumed, straight = tiny_model(seed=5), tiny_model()
    train(resumed, lambda start: seen.append(start) or batches(start), CONFIG, checkpoint=tmp_path / "c")
    train(straight, batches, CONFIG)
    assert seen == [4]
    assert all(torch.equal(value, straight.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_a_broken_checkpoint_is_named(tmp_path):
    (tmp_path / "training.pt").write_bytes(b"\x80\x02 cut short")
    with pytest.raises(UserError, match=r"training\.pt.*delete"):
        train(tiny_model(), batches, CONFIG, checkpoint=tmp_path)


def test_a_failing_save_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    config = CONFIG.replace(checkpoint_every=1)
    write, written = Path.write_bytes, []

    def full(path, value):
        written.append(path)
        if len(written) == 3:
            write(path, b"half")
            raise OSError(28, "No space left on device")
        write(path, value)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        train(tiny_model(), batches, config, checkpoint=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]
    assert torch.load(tmp_path / "training.pt", weights_only=True)["iteration"] == 2


FROZEN = TINY.replace(backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4, freeze_bn=True))


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_gradients_equal_the_whole_batch(parts):
    """With batch norm frozen; one plain step, so that the weights tell the gradient."""
    config = CONFIG.replace(iterations=1, batch_size=4, momentum=0, weight_decay=0, lr=1.0, warmup_iterations=0, milestones=())
    whole, split = tiny_model(FROZEN), tiny_model(FROZEN)
    one = train(whole, lambda start: batches(start, size=4), config)
    many = train(split, lambda start: batches(start, size=4), config.replace(micro_batches=parts))
    for (name, a), b in zip(whole.named_parameters(), split.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert many.rows[0] == pytest.approx(one.rows[0], rel=1e-4)


ONE_STEP = CONFIG.replace(iterations=1, batch_size=4, momentum=0, weight_decay=0, lr=1.0, warmup_iterations=0, milestones=())


def gradient_of_a_step(**changes):
    """All weights' gradient in one vector: what a plain step at rate 1 subtracts."""
    model = tiny_model(FROZEN)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    history = train(model, lambda start: batches(start, size=4), ONE_STEP.replace(**changes))
    assert history.skipped == 0
    return before - torch.nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("parts", [1, 2])
def test_a_long_gradient_is_scaled_down_and_a_short_one_is_not(parts):
    whole = gradient_of_a_step()
    clipped = gradient_of_a_step(gradient_clip=0.5, micro_batches=parts)
    assert whole.norm() > 1
    assert clipped.norm().item() == pytest.approx(0.5, rel=1e-3)
    torch.testing.assert_close(clipped, whole * (0.5 / whole.norm()), rtol=1e-3, atol=1e-6)
    assert torch.equal(gradient_of_a_step(gradient_clip=2 * whole.norm().item()), whole)


def test_a_gradient_is_clipped_without_the_scale_of_fp16(monkeypatch):
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=64.0))
    whole, clipped = gradient_of_a_step(precision="fp16"), gradient_of_a_step(gradient_clip=0.5, precision="fp16")
    assert clipped.norm().item() == pytest.approx(0.5, rel=1e-3)
    torch.testing.assert_close(clipped, whole * (0.5 / whole.norm()), rtol=1e-2, atol=1e-4)


def test_no_clipping_is_no_field_of_plain_data():
    assert "gradient_clip" not in CONFIG.to_data()
    assert CONFIG.replace(gradient_clip=35.0).to_data()["gradient_clip"] == 35


def poisoned(start):
    """Every batch's first image is not a number."""
    for images, targets in batches(start):
        images[0] = float("nan")
        yield images, targets


def test_a_loss_that_is_not_finite_skips_the_step_and_keeps_the_batch(tmp_path):
    def once(start):
        yield from ((batch if start + i != 1 else next(poisoned(1))) for i, batch in enumerate(batches(start)))

    events = []
    model = tiny_model(FROZEN)
    history = train(model, once, CONFIG.replace(log_every=1), checkpoint=tmp_path, log=events.append)
    assert history.skipped == 1 and len(history.rows) == STEPS
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    (warning,) = (event["message"] for event in events if event["event"] == "warning")
    assert "iteration 1" in warning and "[10, 11]" in warning and "nan" in warning
    (saved,) = (tmp_path / "not_finite").iterdir()
    kept = read_state_dict(saved)
    assert (
        saved.name in warning
        and torch.isnan(kept["images"][0]).all()
        and kept["1.boxes"].shape == (2, 4)
        and kept["1.crowd"].shape == (2,)
    )


def test_ten_in_a_row_stop_with_advice(tmp_path):
    model = tiny_model(FROZEN)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(Diverged, match=r"10 times in a row.*images \[90, 91\].*Lower training\.lr"):
        train(model, poisoned, CONFIG.replace(iterations=50), checkpoint=tmp_path)
    assert isinstance(Diverged("x"), UserError)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_nine_in_a_row_go_on():
    def nine(start):
        bad, good = poisoned(start), batches(start)
        for i in range(start, 100):
            yield next(bad) if i % 10 else next(good)

    assert train(tiny_model(FROZEN), nine, CONFIG.replace(iterations=21)).skipped == 18


def test_batches_without_objects_train_to_finite_weights():
    def empty(start):
        for images, targets in batches(start):
            yield images, [Target(t.boxes[:0], t.labels[:0], t.masks[:0], t.crowd[:0], t.image_id) for t in targets]

    model = tiny_model()
    assert train(model, empty, CONFIG).skipped == 0
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_batches_that_end_early_are_an_error():
    with pytest.raises(UserError, match="ended after iteration 3 of 6"):
        train(tiny_model(), lambda start: itertools.islice(batches(start), 3), CONFIG)


def test_no_batch_is_asked_for_in_vain():
    asked = []
    train(tiny_model(), lambda start: (asked.append(i) or batch for i, batch in enumerate(batches(start))), CONFIG)
    assert asked == list(range(STEPS))


def test_bf16_on_the_cpu():
    history = train(tiny_model(), batches, CONFIG.replace(precision="bf16"))
    plain = train(tiny_model(), batches, CONFIG)
    assert history.skipped == 0
    assert history.rows[0]["loss"] == pytest.approx(plain.rows[0]["loss"], rel=0.1)
    assert history.rows[0]["loss"] != plain.rows[0]["loss"]


@pytest.mark.parametrize("config", [TINY, TINY_FC_MASK], ids=["prototypes", "fc-mask"])
def test_the_loss_falls_on_one_batch(config):
    training = CONFIG.replace(iterations=40, lr=5e-3, warmup_iterations=5, log_every=5, milestones=(0.8,))
    first = next(batches())

    def same(start):
        while True:
            yield first

    rows = train(tiny_model(config), same, training).rows
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    for term in ("box", "class", "mask"):
        assert rows[-1][term] < rows[0][term], term


def test_the_log_tells_rate_loss_and_terms():
    events = []
    train(tiny_model(), batches, CONFIG, log=events.append)
    steps = [event for event in events if event["event"] == "step"]
    assert [event["iteration"] for event in steps] == [2, 4, 6]
    assert set(steps[0]["terms"]) == {"box", "class", "mask", "semantic"}
    assert steps[0]["loss"] == pytest.approx(sum(steps[0]["terms"].values()))
    assert all(event["images_per_second"] > 0 and event["iterations"] == STEPS for event in steps)
