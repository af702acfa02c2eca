"""One job: a checked task becomes a picture.

`pipeline` has the steps, `run` the events that tell of them, `retry_policy` what follows from an error. Imports queue,
refunds, platform, pictures and net, never what shows them (`operations`).
"""
