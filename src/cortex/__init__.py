"""Cortex: a file-based coordination daemon for fleets of short-lived workers."""

__version__ = "0.2.0.dev0"
