"""The loop that turns events into reconciliation: work queue, timers, effect threads, controllers.

One control thread decides; it blocks on the journal's fdatasync and on nothing else. What may
block runs in effect threads, which take values and post results, and touch no state.
"""
