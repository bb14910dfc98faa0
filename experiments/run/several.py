"""One attempt at several stages that share work; each is locked, recorded and published as in a separate run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from experiments.run.attempt import Attempt
from experiments.stages.kind import Ended, Kind, StageContext
from experiments.store.folder import Store
from experiments.store.lease import LockLost, StageBusy
from experiments.store.states import State


def attempt_together(
    store: Store, stage_ids: Sequence[str], kinds: Mapping[str, Kind], should_stop: Callable[[], bool]
) -> dict[str, State]:
    """Run recorded stages that share work (`experiments.plan.sharing`).

    Returns:
        {stage id: state}, "busy" if another process works on the stage.

    Raises:
        StoreError: a stage does not exist.
        OSError: a failure could not be recorded; the other stages ended normally.
    """
    trying = {stage_id: Attempt(store, stage_id, kinds, should_stop) for stage_id in stage_ids}
    errors: dict[Attempt, Exception | None] = {}
    unwritten: list[OSError] = []
    with ExitStack() as stack:
        for each in trying.values():
            stack.enter_context(_contained(each, errors, unwritten))
        begun = {each: each.context for each in trying.values() if each.context is not None}
        for each, ended in zip(begun, _work(trying, list(begun.values())), strict=True):
            if isinstance(ended, Ended):
                each.account(ended, len(begun))
            errors[each] = ended.error if isinstance(ended, Ended) else ended
    if unwritten:
        raise unwritten[0]
    return {stage_id: each.state for stage_id, each in trying.items()}


def _work(trying: Mapping[str, Attempt], contexts: list[StageContext]) -> Sequence[Ended | Exception]:
    """The outcome of each stage; an error that affects all of them counts for each."""
    if not contexts:
        return []
    try:
        return next(iter(trying.values())).kind.load_together()(contexts)
    except Exception as error:
        return [error] * len(contexts)


@contextmanager
def _contained(each: Attempt, errors: Mapping[Attempt, Exception | None], unwritten: list[OSError]) -> Iterator[None]:
    """Run an attempt and end it with its error in `errors`. A busy or lost lock or a full disk does not affect other stages."""
    entered = False
    try:
        with each:
            entered = True
            yield
            if (error := errors.get(each)) is not None:
                raise error
    except (StageBusy, LockLost):
        each.state = State.BUSY
    except OSError as error:
        unwritten.append(error)
    if not entered:
        yield
