"""The queue: a producer's document becomes a job, and one living worker at a time runs it.

`task` checks documents, `consumer` queues them, `worker` runs jobs, `lease` says who lives, `rate_limiter` spaces
requests, `dead_letters` keeps what cannot be used; `arq_command_line` alone imports arq. It knows nothing of pictures
or credits: what a job does is handed to `worker` as a function. Imports `platform` for the names of sessions.
"""
