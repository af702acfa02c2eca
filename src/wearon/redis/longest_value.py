"""The longest value that a Redis should take, which only its own settings can say.

Redis answers nobody else while it stores what was sent: a document of 400 MB stops it for one to four seconds, whatever
becomes of the document afterwards. `proto-max-bulk-len` refuses a value by the length that precedes it, before it
travels. 512 MB is its default.
"""

LONGEST_VALUE_BYTES = 64 * 1024 * 1024
"""Forty times what we send at most (1.5 MB: the job of a task of 512 KB whose letters are all escaped), and short
enough: a document of that length delays others by a quarter of a second on a busy machine."""

QUERY_BUFFER_BYTES = 2 * LONGEST_VALUE_BYTES
"""What one connection may send at once: a value with what surrounds it, or the commands of one transaction, which
Valkey counts here."""

SETTINGS = {"proto-max-bulk-len": LONGEST_VALUE_BYTES, "client-query-buffer-limit": QUERY_BUFFER_BYTES}
"""By the names that redis.conf, CONFIG and the command line have for them."""
