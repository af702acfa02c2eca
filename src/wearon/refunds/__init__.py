"""Refunds: what is owed for a failed session, and refunding it exactly once.

`intents` is what is kept, `rules` decides from the ledger without I/O, `outbox` acts. Imports the platform and the
queue's key names, never the image model.
"""
