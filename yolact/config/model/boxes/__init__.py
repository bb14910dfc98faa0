"""Detectors of boxes alone."""
