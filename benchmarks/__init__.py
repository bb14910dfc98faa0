"""Benchmarks of the workbench: `python -m benchmarks NAME`; README.md describes each and the protocol they share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""Root of this checkout."""
