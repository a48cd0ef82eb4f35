"""The zero-token worker programs: one module a piece of work, started by `__main__`."""
