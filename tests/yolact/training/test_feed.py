"""Batches on their way to a GPU, by a stand-in for its side stream: what is done when, and that training can't tell."""

from contextlib import contextmanager

import pytest
import torch

from tests.support.networks import random_batch, tiny_model
from tests.yolact.training.test_loop import CONFIG, STEPS, batches
from yolact.errors import UserError
from yolact.training import breakdown
from yolact.training import feed as prefetch
from yolact.training.breakdown import PARTS, Breakdown
from yolact.training.feed import Feed, SideStream
from yolact.training.loop import Interrupted, train


class FakeLane:
    """Copies on the CPU, and writes down when."""

    def __init__(self):
        self.events = []

    def copied(self, batch):
        self.events.append(f"copy {batch[1][0].image_id}")
        return batch[0].to(memory_format=torch.channels_last), batch[1]

    def join(self, batch):
        self.events.append(f"join {batch[1][0].image_id}")


@pytest.fixture
def lane(monkeypatch):
    made = FakeLane()
    monkeypatch.setattr(prefetch, "lane_of", lambda device: made)
    return made


def numbered(asked, count):
    for number in range(count):
        asked.append(number)
        yield next(batches(number))


def test_on_the_cpu_nothing_is_done_ahead():
    asked = []
    feed = Feed(numbered(asked, 2), 2, "cpu")
    feed.look_ahead()
    assert asked == []
    images, targets = feed.place(feed.take())
    assert asked == [0] and images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, next(batches(0))[0]) and [target.image_id for target in targets] == [0, 1]


def test_the_next_batch_is_on_its_way_before_it_is_due(lane):
    asked = []
    feed = Feed(numbered(asked, 5), 2, "cuda")
    feed.place(feed.take())
    feed.look_ahead()
    assert lane.events == ["copy 0", "join 0", "copy 10"]
    assert feed.place(feed.take())[1][0].image_id == 10
    feed.look_ahead()
    assert feed.take() is None
    assert asked == [0, 1], "no batch is asked for in vain"
    assert lane.events[3:] == ["join 10"]


def test_training_gives_the_same_weights_and_asks_for_no_batch_in_vain(lane, monkeypatch):
    asked, ahead = [], tiny_model()
    train(ahead, lambda start: numbered(asked, 100), CONFIG)
    assert asked == list(range(STEPS))
    # after the backward pass of one batch and before its optimiser step, the next is copied
    assert lane.events == ["copy 0", *(each for n in range(0, 50, 10) for each in (f"join {n}", f"copy {n + 10}")), "join 50"]
    monkeypatch.setattr(prefetch, "lane_of", lambda device: None)
    plain = tiny_model()
    train(plain, batches, CONFIG)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in ahead.state_dict().items())


@pytest.mark.parametrize("stop_after", [1, 2, 5])
def test_stopped_and_resumed_it_shows_every_batch_once(lane, tmp_path, stop_after):
    asks = []
    stopped, resumed, straight = tiny_model(), tiny_model(seed=9), tiny_model()
    with pytest.raises(Interrupted, match=f"after iteration {stop_after} of {STEPS}"):
        train(stopped, batches, CONFIG, checkpoint=tmp_path, should_stop=lambda: asks.append(0) or len(asks) == stop_after)
    again = train(resumed, batches, CONFIG, checkpoint=tmp_path)
    history = train(straight, batches, CONFIG)
    assert again.rows == history.rows
    assert all(torch.equal(value, straight.state_dict()[name]) for name, value in resumed.state_dict().items())


@pytest.mark.parametrize("ends", [False, True])
def test_what_goes_wrong_ahead_is_raised_when_the_batch_is_due(lane, ends):
    def failing(start):
        yield from (next(batches(number)) for number in range(3))
        if not ends:
            raise UserError("image 30 can't be read")

    events = []
    with pytest.raises(UserError, match="ended after iteration 3 of 6" if ends else "image 30"):
        train(tiny_model(), failing, CONFIG.replace(log_every=1), log=events.append)
    assert [event["iteration"] for event in events] == [1, 2, 3]


def test_a_gpu_copies_from_pinned_memory_on_its_side_stream(monkeypatch):
    """By stand-ins for torch's streams, for there is no GPU here."""
    done = []

    class Stream:
        def wait_stream(self, other):
            done.append("wait")

    @contextmanager
    def on(stream):
        done.append("side")
        yield
        done.append("main")

    main = Stream()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: main)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: done.append("pin") or tensor.clone())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: done.append(("keep", stream is main)))
    monkeypatch.setattr(prefetch, "_to", lambda device, batch: done.append(device) or batch)
    batch = random_batch(0, images=2)
    lane = SideStream()
    placed = lane.copied(batch)
    lane.join(placed)
    assert done == [*["pin"] * 9, "side", "cuda", "main", "wait", *[("keep", True)] * 9]
    assert torch.equal(placed[0], batch[0]) and torch.equal(placed[1][1].masks, batch[1][1].masks)


def test_on_a_gpu_the_parts_are_what_the_gpu_spent_on_them(monkeypatch):
    """Its clock ticks in the events; what lies between the last event and the end of the window is `other`."""
    ticks = iter([0, 4000, 5000, 7000, 10_000, 10_500, 10_500, 12_500])

    class Event:
        def __init__(self):
            self.at = next(ticks)

        def synchronize(self):
            pass

        def elapsed_time(self, later):
            return later.at - self.at

    monkeypatch.setattr(breakdown, "_event", Event)
    now = iter([0.0, 13.0, 13.0])
    monkeypatch.setattr(breakdown.time, "perf_counter", lambda: next(now))
    made = Breakdown("cuda")
    for part in ("loader", "transfer", "forward", "backward", "loader", "optimiser"):
        made.mark(part)
    assert made.close() == dict(zip(PARTS, (4.5, 1.0, 2.0, 3.0, 0.0, 2.5), strict=True))
