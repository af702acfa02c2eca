"""What became of our sizes: feedback of shops, counted, and what the counts say about our probabilities.

An answer carries what it said in its `estimate_id`, sealed (`estimate_id.py`), so nothing is kept for an estimate of
which nobody is heard again. `verdict.py` judges one feedback, `store.py` counts it in Redis, `calibration.py` compares
the counts with what was stated. Imports sizing for the answer, and queue for the names of keys.
"""
