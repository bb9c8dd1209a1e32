"""Datasets: immutable versions by content, checks, profiles.

Import what you need from its file; nothing heavy is loaded here.
"""
