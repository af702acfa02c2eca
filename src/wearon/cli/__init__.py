"""The `wearon` command: one module for each command, imported when it is run.

`output` is the only way to the terminal. Imports what the commands need; nothing imports it.
"""
