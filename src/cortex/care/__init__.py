"""Tools for the day when something is odd: fsck beyond the journal, doctor and drill.

They look at a home or a machine from outside, beside a daemon or without one. They may stand on
every other room; nothing but the command line stands on them.
"""
