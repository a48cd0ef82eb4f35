"""The `cortex` command: one file a command, over the home's Python API.

Nothing here decides or writes anything but drops; what is printed is made for people first, and
`-o json` for programs.
"""
