"""The names of everything that the worker keeps in Redis. `docs/guarantees.md` draws how a task moves through them."""

TASKS = "wearon:tasks:generation"
"""List, the producers' (the contract's): LPUSH at the left, taken from the right."""

PENDING = "wearon:taken"
"""List: documents on their way from `TASKS` to `JOBS`; what lies here after a crash is enqueued again."""

JOBS = "wearon:jobs"
"""arq's queue, a sorted set of job ids by due time (ms of the Redis server's clock; see `wearon.queue.jobs`)."""

JOB = "arq:job:"
"""Prefix; what a job is to do, and how far it has come (`job_document`)."""

LINE = "wearon:pending:"
"""Prefix of a sorted set, one for each tenant (`wearon.queue.tenants`): its jobs that wait for their turn, by arrival.
Each of them is in `JOBS`, too, due a few minutes later: were a line lost, its jobs would start then. The line `reject`
has the jobs of all tenants that only fail and refund a session: they wait for no turn and no slot."""

TURNS = "wearon:turns"
"""Sorted set of the tenants that wait and may start a job, by virtual time: how much each has had for its weight."""

TURNS_PAST = "wearon:turns:past"
"""Sorted set: virtual time of tenants that left `TURNS` ahead of others, and `*`: the time of the last turn."""

WAITING = "wearon:waiting"
"""Sorted set tenant -> how many jobs are in its line; without the tenants that have none."""

RUNNING_OF_TENANTS = "wearon:running:tenants"
"""Hash tenant -> how many of its jobs run."""

HELD = "wearon:running:by-worker"
"""Sorted set of worker id, line feed, job id: `RUNNING` the other way round. Workers of earlier versions do not write
it; heartbeats see by its size that something is missing."""

RUNNING_SUMS = "wearon:running:sums"
"""Hash worker id -> what its jobs in `HELD` add up to, each by its name: a heartbeat compares one number instead of all
jobs. Workers of earlier versions do not write it; who finds another number than its own makes it anew."""

CAPACITY_SUM = "wearon:capacity:sum"
"""All slots of the living workers, and when they were counted (ms)."""

ACCEPTED = "wearon:accepted:"
"""Prefix of a hash tenant -> jobs of one day (UTC, days since 1970), for two days; while there is a daily limit."""

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

REFUNDS_IN_REVIEW = "wearon:refunds:by-hand"
"""Hash session -> the refund that needs review (charged in money, or no charge found)."""

REFUND_SETTLED = "wearon:refunds:settled:"
"""Prefix; the stamp of a session's intent that was settled within the last hour: it is not one that was lost."""

REFUND_LOCK = "wearon:refunds:lock:"
"""Prefix; held while one process settles an intent."""

REQUEST_SLOTS = "wearon:openai:slots"
"""When the next request to the image model may start (microseconds): the fleet's rate limit."""

REPORTS = "wearon:reports"
"""Hash worker id -> what the process said of itself with its last heartbeat (JSON); gone with its lease."""

JOURNAL = "wearon:journal:"
"""Prefix of a list of JSON entries, oldest first, bounded, one list a session: its history. For people only; it expires
after `JOURNAL_HOURS`, and nothing else depends on it."""

JOURNAL_REQUEST = "wearon:journal-request:"
"""Prefix; a b2c request id -> the session it belonged to, for as long as the history: that channel's table has none."""

SESSIONS = "wearon:sessions"
"""Sorted set session -> when its last attempt ended (microseconds of the Redis server's clock), bounded, for as long as
the history: the list of sessions."""

SESSION_LINES = "wearon:sessions:lines"
"""Hash session -> what the list says of it (JSON)."""

MINUTE = "wearon:stats:minute:"
"""Prefix of a hash of counters of one minute (UTC, `202611241825`), for two hours."""

DAY = "wearon:stats:day:"
"""Prefix of a hash of counters of one day (UTC, `20261124`), for two days."""

IMAGE_MODELS = "wearon:openai:models"
"""Hash image model -> until when it is not asked (microseconds of the Redis server's clock) and why: those that did not
exist or could not be used. The field without a name says when all of them may be asked in spite of that."""

DATA_ID = "wearon:data-id"
"""A random text, written once: it is another one, or none, when Redis has lost its data."""

BOOKS = "wearon:books"
"""Hash: the last audit of the books in short (`summary`), and what it found (`findings`, bounded); both JSON."""

BOOKS_TURN = "wearon:books:turn"
"""There for an hour after a process has begun to audit the books: no other one does meanwhile."""

RETENTION = "wearon:retention"
"""How far the deletion of old pictures has come (JSON), for an hour after a process that deletes has asked for its
turn."""

RETENTION_TURN = "wearon:retention:turn"
"""There for an hour after a process has begun to delete old pictures: no other one does meanwhile."""

PAUSES = "wearon:pauses"
"""Hash tenant, or `*` for the whole fleet -> why and since when its jobs are not started (JSON)."""

REFUSALS = "wearon:pauses:refusals:"
"""Prefix; how many jobs in a row were refused for one cause, for some minutes: the fleet pauses itself after a few."""

AUDIT_LOG = "wearon:audit-log"
"""List of JSON entries, newest first, bounded: what operators did (`wearon.queue.audit_log`)."""

INCIDENTS = "wearon:incidents"
"""Hash incident -> when it began, what it is about and when it ended (JSON), bounded: all processes share it."""

CHART_STORES = "wearon:charts"
"""Hash store -> how many size charts it keeps here, bounded."""

CHARTS = "wearon:charts:"
"""Prefix of a hash chart's name -> version, time (ms) and chart (JSON), one hash a store, bounded."""

FEEDBACK_GIVEN = "wearon:feedback:given:"
"""Prefix of a hash estimate -> what its feedback said, one hash a day of estimates (days since 1970), bounded: the same
feedback is counted once. It expires when no feedback to that day's estimates is taken any more."""

FEEDBACK = "wearon:feedback:"
"""Prefix of a hash of counters of feedback, one hash a month of estimates (UTC, `202611`), bounded; for 13 months."""
