"""Child processes: work that may hang, crash or grow is done in a process that can be ended.

`child` is one process, `pool` several of one kind, `answers` what they say, `heap` how they keep memory. Imports
`dependencies` only.
"""
