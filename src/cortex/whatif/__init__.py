"""What would have happened: recorded days decided again, in virtual time, under other settings.

`recording` reads the facts out of a journal (what arrived, how long attempts took, what they used),
`rerun` lets the daemon's own deciding code run over them, `figures` counts on both sides. Nothing
here writes into a home.
"""
