"""What should happen next: pure functions and tables.

No I/O, no clock and no randomness of its own: documents and the time go in, journal events and
actions come out. Doing them is the work of other rooms.
"""
