"""Worker processes: starting, watching and ending them, and reading what they leave behind.

Nothing in this room decides a policy, and nothing here touches the journal or a document.
The modules are imported one by one, so that the nursery, which must stay small, loads few.
"""
