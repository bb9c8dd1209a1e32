"""Everloop: the closed machine-learning loop in one install."""

__version__ = "0.1.0"
