"""The prototype gallery: what the `prototypes` stage kept, as numbers and as a page that opens offline."""

from analysis.gallery.statistics import prototype_statistics
from analysis.measures.prototypes.read import Kept, KeptImage, open_kept

__all__ = ["Kept", "KeptImage", "open_kept", "prototype_statistics"]
