"""What can go wrong with Redis, sorted by whom it is about.

    redis.exceptions.RedisError
    ├── ConnectionError
    │   └── RedisUnavailable        this server cannot be used now; the connection has been closed
    │       ├── RedisUnreachable    no connection, or no answer: whatever the transport below redis-py raised, too
    │       ├── AnswerTooLarge      an answer that is not worth its way; Redis itself is well
    │       └── RedisRefuses        an answer about the server or about our user: READONLY, OOM, NOPERM, WRONGPASS...
    └── ResponseError               about one command
        └── BadKey                  a key holds another type than it must have, or other content

`wearon.redis.clients` turns every error of a connection into one of these, in one place. An answer about the server
ends the connection, because the next one asks for the name's address anew: after a failover it leads to the new
primary.
"""

import re
from collections.abc import Sequence

from redis import exceptions
from redis.exceptions import RedisError, ResponseError

LONGEST_WORDS = 120
"""Characters of what Redis says that are handed on: it may quote a command's arguments at length."""


class RedisUnavailable(exceptions.ConnectionError):
    """Redis cannot be used now."""

    def __init__(self, words: str) -> None:
        """`words`: a short clause for operators, without secrets."""
        super().__init__(words)
        self.words = words


class RedisUnreachable(RedisUnavailable):
    """There is no connection, or no answer on it."""


class AnswerTooLarge(RedisUnavailable):
    """An answer is longer than any that we ask for. The connection has been closed; Redis itself is well. `start` is
    how the answer began.
    """

    def __init__(self, words: str, start: bytes = b"") -> None:
        super().__init__(words)
        self.start = start


class RedisRefuses(RedisUnavailable):
    """Redis answers, and refuses the command. `code` is the answer's first word."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class BadKey(ResponseError):
    """A key of ours holds what it must not hold; the message names it."""


NOT_WRITABLE = frozenset({"READONLY", "MISCONF", "OOM", "NOREPLICAS"})
"""Reads may go on meanwhile, so only a write shows that they are over."""

WRONG_SERVER = frozenset({"READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED", "CLUSTERDOWN", "MOVED", "ASK"})
"""The address may lead to another server by now: no connection that was opened earlier is used again."""

_WORDS = {
    **dict.fromkeys(NOT_WRITABLE, "Redis may not be written"),
    "LOADING": "Redis is not ready",
    "MASTERDOWN": "Redis is not ready",
    "BUSY": "Redis is not ready",
    "UNBLOCKED": "Redis has changed its role",
    **dict.fromkeys(
        ("CLUSTERDOWN", "MOVED", "ASK", "CROSSSLOT", "TRYAGAIN"), "Redis is a cluster, which cannot be used"
    ),
    **dict.fromkeys(("NOAUTH", "WRONGPASS"), "Redis refuses our user or password"),
    "NOPERM": "no right to",
    "MAXCLIENTS": "Redis takes no more connections",
}

# A script's error holds the command's behind a dash, or (before Redis 7) in words of its own.
_CODE = re.compile(rf"(?:\A|-)({'|'.join(_WORDS)})\b")
_NO_RIGHT_IN_A_SCRIPT = ("can't run this command", "ACL failure in script")
_MAX_CLIENTS = "max number of clients"
_WRONG_TYPE = re.compile(r"(?:\A|-)WRONGTYPE (?P<text>.*)", re.DOTALL)
_NOT_ALLOWED = re.compile(r"(?:run|execute) the '(?P<command>[\w|-]+)' command")

_CODES_OF_CLASSES: tuple[tuple[type[RedisError], str], ...] = (
    # redis-py takes the code off the text of these; the first that fits counts.
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.AuthenticationError, "WRONGPASS"),
    (exceptions.AuthenticationWrongNumberOfArgsError, "WRONGPASS"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.AskError, "ASK"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
)


def ours(error: Exception, command: Sequence[object] = ()) -> Exception:
    """The error of our tree for an error of a connection; an error of one command stays as it is.

    `command` is what was sent, its name first.
    """
    if isinstance(error, (RedisUnavailable, BadKey, exceptions.NoScriptError)):
        return error
    if code := _code_of(error):
        return RedisRefuses(code, _words(code, str(error), command))
    if isinstance(error, ResponseError):
        return _bad_key(error, command) or error
    return RedisUnreachable(f"Redis cannot be reached: {_cause(error)}")


def told(text: str) -> str:
    """What Redis says, as far as it may be handed on: without the arguments of the command that it complains of."""
    return text.partition(", with args")[0].partition(" script: ")[0][:LONGEST_WORDS].strip()


def _code_of(error: Exception) -> str | None:
    for kind, code in _CODES_OF_CLASSES:
        if isinstance(error, kind):
            return "NOAUTH" if code == "WRONGPASS" and "required" in str(error) else code
    if not isinstance(error, RedisError):
        return None
    text = str(error)
    if _MAX_CLIENTS in text:
        return "MAXCLIENTS"
    if not isinstance(error, ResponseError):
        return None
    if any(words in text for words in _NO_RIGHT_IN_A_SCRIPT):
        return "NOPERM"
    found = _CODE.search(text)
    return found[1] if found else None


def _words(code: str, text: str, command: Sequence[object]) -> str:
    if code != "NOPERM":
        return f"{_WORDS[code]}: {code}" if code != "MAXCLIENTS" else _WORDS[code]
    named = _NOT_ALLOWED.search(text)
    name = named["command"].upper().replace("|", " ") if named else name_of(command)
    return f"{_WORDS[code]} {'a key of ' if 'key' in text and not named else ''}{name}"


def name_of(command: Sequence[object]) -> str:
    """A command's name for people."""
    if not command:
        return "a command"
    name = _text(command[0]).upper()
    return "a command of a script" if name in {"EVALSHA", "EVAL"} else name


def keys_of(command: Sequence[object]) -> list[str]:
    """The keys of ours that a command names."""
    named = [_text(argument) for argument in command[1:]]
    return [name for name in named if name.startswith(("wearon:", "arq:")) and len(name) <= LONGEST_WORDS]


def _bad_key(error: ResponseError, command: Sequence[object]) -> BadKey | None:
    found = _WRONG_TYPE.search(str(error))
    if found is None:
        return None
    if found["text"].startswith(("wearon:", "arq:")):  # one of our scripts has looked, and says which
        return BadKey(told(found["text"]))
    named = keys_of(command) or ["a key of ours"]
    return BadKey(f"{'' if len(named) == 1 else 'one of '}{', '.join(named)} has the wrong type")


def _cause(error: Exception) -> str:
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return "no answer in time"
    return told(str(error)) or type(error).__name__


def _text(argument: object) -> str:
    return argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument)
