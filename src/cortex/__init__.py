"""Cortex: a file-based coordination daemon for fleets of short-lived workers."""

__version__ = "0.1.0"
