"""The prototype gallery: what the `prototypes` stage kept, as numbers and as a page that opens offline."""

from analysis.gallery.kept import Kept, KeptImage, open_kept
from analysis.gallery.statistics import prototype_statistics

__all__ = ["Kept", "KeptImage", "open_kept", "prototype_statistics"]
