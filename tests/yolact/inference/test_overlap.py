"""Work ahead and behind: order, bounds, errors, and that no thread outlives its caller."""

import threading
import time
from contextlib import closing

import pytest

from yolact.inference.overlap import ahead, behind


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def counted(limit, made, fail_at=None):
    for number in range(limit):
        if number == fail_at:
            raise OSError("gave up")
        made.append(number)
        yield number


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_items_come_in_order(count, depth):
    assert list(ahead(range(count), depth)) == list(range(count))


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_are_made_than_asked_for(depth):
    made = []
    with closing(ahead(counted(100, made), depth)) as items:
        for _ in range(5):
            next(items)
        time.sleep(0.05)
        assert 5 <= len(made) <= 5 + depth


def test_an_error_follows_the_items_before_it():
    seen = []
    with pytest.raises(OSError, match="gave up"):
        for item in ahead(counted(9, [], fail_at=4), 2):
            seen.append(item)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_all_work_is_done_in_order_by_one_thread(depth):
    done = []
    with behind(lambda item: done.append((item, threading.get_ident())), depth) as hand_on:
        for item in range(20):
            hand_on(item)
    assert [item for item, _ in done] == list(range(20))
    assert len({thread for _, thread in done}) == 1 and done[0][1] != threading.get_ident()


@pytest.mark.parametrize("depth", [1, 3])
def test_the_caller_waits_where_work_piles_up(depth):
    release, started = threading.Semaphore(0), []

    def work(item):
        started.append(item)
        release.acquire()

    with behind(work, depth) as hand_on:
        for item in range(depth):
            hand_on(item)
        handed = threading.Event()
        caller = threading.Thread(target=lambda: (hand_on(depth), handed.set()))
        caller.start()
        assert not handed.wait(0.05) and len(started) <= 1, "handed on while as much as may wait is not done"
        release.release()
        assert handed.wait(60)
        caller.join()
        release.release(depth)


def fail_at(number, done):
    def work(item):
        if item == number:
            raise OSError("gave up")
        done.append(item)

    return work


@pytest.mark.parametrize("number", [0, 3, 9])
def test_an_error_of_work_reaches_the_caller(number):
    done = []
    with pytest.raises(OSError, match="gave up"), behind(fail_at(number, done), 2) as hand_on:
        for item in range(10):
            hand_on(item)
    assert done[:number] == list(range(number)) and len(done) <= number + 2


def test_the_callers_own_error_comes_first_and_drops_what_waits():
    release, done = threading.Event(), []

    def work(item):
        release.wait()
        done.append(item)

    threading.Timer(0.05, release.set).start()
    with pytest.raises(KeyboardInterrupt), behind(work, 3) as hand_on:
        for item in range(3):
            hand_on(item)
        raise KeyboardInterrupt
    assert done == [0]
