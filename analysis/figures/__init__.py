"""Every figure of the reports: a function from an experiment to a `Picture` (figure, caption, description and data)."""

from analysis.figures.accuracy import accuracy, accuracy_by_size
from analysis.figures.curves import losses, precision_recall
from analysis.figures.latency import accuracy_against_latency
from analysis.figures.picture import Picture
from analysis.figures.quality import boxes_and_masks
from analysis.figures.speed import speed_by_stage

__all__ = [
    "Picture",
    "accuracy",
    "accuracy_against_latency",
    "accuracy_by_size",
    "boxes_and_masks",
    "losses",
    "precision_recall",
    "speed_by_stage",
]
