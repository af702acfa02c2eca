"""What this process may use of its machine, and how that is shared out.

`machine` reads the limits, `descriptors` divides connections, `fair_slots` shares work out by owner, `work` says
whose it is, and `shortage` recognises a lack of resources among errors. Imports nothing of wearon.
"""
