"""What a measure wrote, held against its declaration."""

from contextlib import suppress
from pathlib import Path

from experiments.store.metrics import metrics_of
from yolact.measures.declaration import Measure


def assert_as_declared(measure: Measure, folder: Path) -> None:
    """Its files are there and no others, and every scalar stands where the declaration says, if without a value."""
    assert {path.name for path in folder.iterdir()} == {file.name for file in measure.files}
    for metric in metrics_of(measure):
        with suppress(ValueError):
            metric.read(folder)
