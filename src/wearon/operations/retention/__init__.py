"""Retention: shoppers' pictures are deleted when they are older than shoppers were promised.

`rounds` is the model of the newest round, without I/O; `store` keeps it in Redis and knows whose turn it is, `walk`
lists the storage, `named` finds the uploads that tasks name, `sweeper` deletes.
"""
