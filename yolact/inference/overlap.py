"""Work overlapped by a thread before and one behind the caller's own: order kept, memory bounded, errors raised in the caller.

Both hold `depth` items at most, and end with the caller, however it ends: what has begun is finished, the rest dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def ahead(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """The items, up to `depth` of them made in a thread before they are asked for. Close it where it may not be used up.

    An error of theirs is raised after the items that were made before it.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as pool:
        made: deque[Future[T]] = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        try:
            while (item := made.popleft().result()) is not _END:
                made.append(pool.submit(next, iterator, _END))
                yield item
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def behind(work: Callable[..., object], depth: int) -> Iterator[Callable[..., None]]:
    """A function that has `work` done in a thread with the arguments it is given, and waits while `depth` of them are not done.

    The first error of `work` is raised by a later call or at the end, where all work is done unless the caller failed.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting: deque[Future[object]] = deque()

        def hand_on(*arguments: Any) -> None:
            while len(waiting) >= depth:
                waiting.popleft().result()
            waiting.append(pool.submit(work, *arguments))

        try:
            yield hand_on
            for each in waiting:
                each.result()
        finally:
            pool.shutdown(cancel_futures=True)
