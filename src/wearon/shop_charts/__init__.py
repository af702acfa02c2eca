"""Size charts that shops keep here, so that a widget names its chart instead of carrying it.

Redis holds the truth (`store.py`); every process answers from what it remembers of it (`cache.py`), also while Redis is
away. Imports sizing for what a chart is, and queue for the names of keys.
"""
