"""`--resume-changed`: handling of checkpoints that were made before the code changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from experiments.run.checkpoint import change_since, consent
from experiments.run.provenance import sources_of
from experiments.store.folder import Store

resume_option = click.option(
    "--resume-changed", is_flag=True, help="Resume from checkpoints even if the code has changed since; the change is recorded."
)


def settle_checkpoints(store: Store, ids: Iterable[str], resume_changed: bool, say: Callable[[str], None]) -> None:
    """Consent to resume these stages across a change of the code, or print which checkpoints will be set aside."""
    for stage_id in ids:
        if not store.has(stage_id):
            continue
        view = store.stage(stage_id)
        sources = sources_of(store, view.record)
        change = change_since(view.folder, sources, store.code_folder)
        if resume_changed and (change is not None or view.set_aside):
            consent(view.folder, sources)
        elif change is not None:
            fate = "it will be set aside, and the stage starts again; --resume-changed resumes from it"
            say(f"{stage_id}: the code has changed since its checkpoint was made ({change}): {fate}")
