"""Measures of what a trained network does, beyond its accuracy: one file each, from a `Look` to files in a folder."""
