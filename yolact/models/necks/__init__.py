"""Necks: from a backbone's maps to the levels that a head reads."""
