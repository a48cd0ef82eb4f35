"""The one reconciler that every master file runs on, and the library of those files."""
