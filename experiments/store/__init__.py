"""The results folder. `analysis` imports only these names from `experiments`."""

from experiments.store.folder import StageView, Store, StoreError, read_events

__all__ = ["StageView", "Store", "StoreError", "read_events"]
