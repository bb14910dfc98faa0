"""The results folder. `analysis` imports these names, and nothing else of `experiments`."""

from experiments.store.folder import StageView, Store, StoreError, read_events

__all__ = ["StageView", "Store", "StoreError", "read_events"]
