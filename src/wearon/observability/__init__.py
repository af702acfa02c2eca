"""What can be seen of the worker from outside: logs and traces, without what must not be seen.

`logging` sets structlog up, `redaction` removes secrets, `visible` writes control characters out, `kept_lines` keeps
a job's lines for its history, `tracing` begins spans and `otel` sends them. Imports nothing of wearon.
"""
