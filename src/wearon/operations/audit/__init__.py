"""The audit of the books: ended sessions against the credit ledgers, the stored pictures and the history.

`books` is what is found and kept, `rules` judges without I/O, `store` is the last audit in Redis, `auditor` reads,
compares and repairs.
"""
