"""The names of everything that the worker keeps in Redis. `docs/guarantees.md` draws how a task moves through them."""

TASKS = "wearon:tasks:generation"
"""List, the producers' (the contract's): LPUSH at the left, taken from the right."""

TAKEN = "wearon:taken"
"""List: documents on their way from `TASKS` to `JOBS`; what lies here after a crash is handed over again."""

JOBS = "wearon:jobs"
"""arq's queue, a sorted set of job ids by due time (ms of the Redis server's clock; see `job_scripts`)."""

JOB = "arq:job:"
"""Prefix; what a job is to do, and how far it has come (`job_document`)."""

STARTS = "arq:retry:"
"""Prefix; how often a job has been started. It goes with the job, or when it has not been started for a day."""

RUNNING = "wearon:running"
"""Hash job id -> worker id: who runs what."""

WORKERS = "wearon:workers"
"""Sorted set worker id -> when its lease ends (ms of the Redis server's clock)."""

CAPACITY = "wearon:capacity"
"""Hash worker id -> how many jobs it runs at once."""

WAKE = "wearon:wake"
"""List of tokens: a worker on another machine waits on it instead of polling."""

DEAD_LETTERS = "wearon:dead-letters"
"""List of JSON entries, newest first, bounded."""

REFUNDS = "wearon:refunds"
"""Hash session -> refund intent (JSON): the outbox."""

REFUND_ERRORS = "wearon:refunds:errors"
"""Hash session -> why the last try at its intent did not succeed; for people."""

REFUNDS_BY_HAND = "wearon:refunds:by-hand"
"""Hash session -> what a person has to put right (charged in money, or no charge found)."""

REFUND_SETTLED = "wearon:refunds:settled:"
"""Prefix; the stamp of a session's intent that was settled within the last hour: it is not one that was lost."""

REFUND_LOCK = "wearon:refunds:lock:"
"""Prefix; held while one process settles an intent."""

REQUEST_SLOTS = "wearon:openai:slots"
"""When the next request to the image model may start (microseconds): the fleet's rate limit."""

REPORTS = "wearon:reports"
"""Hash worker id -> what the process said of itself with its last beat (JSON); gone with its lease."""

JOURNAL = "wearon:journal:"
"""Prefix of a list of JSON entries, oldest first, bounded, one list a session: what was done for it. For people only;
expires after `JOURNAL_HOURS`, and nothing is lost with it but the story."""

JOURNAL_REQUEST = "wearon:journal-request:"
"""Prefix; a b2c request id -> the session it belonged to, for as long as the journal: that channel's table has none."""

MINUTE = "wearon:stats:minute:"
"""Prefix of a hash of counters of one minute (UTC, `202611241825`), for two hours."""

DAY = "wearon:stats:day:"
"""Prefix of a hash of counters of one day (UTC, `20261124`), for two days."""

IMAGE_MODELS = "wearon:openai:models"
"""Hash image model -> until when it is not asked (microseconds of the Redis server's clock) and why: those that did not
exist or could not be used. The field without a name says when all of them may be asked in spite of that."""

DATA_ID = "wearon:data-id"
"""A random text, written once: it is another one, or none, when Redis has lost its data."""
