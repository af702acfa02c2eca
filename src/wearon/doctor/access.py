"""Says in words who may do what over HTTP with these settings: what each open door means, and what is shut."""

from wearon.api.roles import OPENED_BY, SETTINGS, Access, Door, Role
from wearon.app.access import make_access
from wearon.doctor.findings import Finding, ok, warning
from wearon.settings import LEAST_TOKEN_CHARACTERS, Mode, Settings

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def check_access(settings: Settings) -> list[Finding]:
    """A finding for each door, and for tokens that open nothing or can be guessed."""
    access = make_access(settings)
    doors = (_estimates, _metrics, _console, _actions)
    return [
        ok("access", "/health and /health/live are open to everyone: load balancers have no token"),
        *(door(settings, access) for door in doors),
        *_tokens(settings, access),
    ]


def _estimates(settings: Settings, access: Access) -> Finding:
    if not access.estimate_is_open:
        return ok("access", f"POST /estimate-body wants {_names(access, Door.ESTIMATE)}: the size proxy must send it")
    told = (
        f"POST /estimate-body is open to everyone who reaches {_place(settings)}, as the size proxy needs, which sends "
        "no token: each may have pictures of public addresses fetched and measured, as many as the pose processes can"
    )
    if "*" not in settings.cors_origins:
        return ok("access", told)
    return warning(
        "access",
        f"{told}; with CORS_ORIGINS=* so may every web page that a person opens",
        "name the shops' origins in CORS_ORIGINS",
    )


def _metrics(settings: Settings, access: Access) -> Finding:
    if access.holders(Door.METRICS):
        return ok("access", f"/metrics wants {_names(access, Door.METRICS)}")
    if settings.wearon_mode is Mode.PRODUCTION:
        return warning("access", "/metrics is not there: nobody has a token for it", "set METRICS_TOKEN")
    told = f"/metrics is open to everyone who reaches {_place(settings)}: queues, failures and spend can be read"
    if settings.host in LOOPBACK:
        return ok("access", told)
    return warning("access", told, "set METRICS_TOKEN, or HOST=127.0.0.1")


def _console(settings: Settings, access: Access) -> Finding:
    if access.holders(Door.CONSOLE):
        return ok("access", f"the console, with shoppers' photos, wants {_names(access, Door.CONSOLE)}")
    if settings.wearon_mode is Mode.PRODUCTION:
        return warning(
            "access", "there is no console: nobody has a token for it", "set API_TOKEN, VIEWER_TOKEN or both"
        )
    return ok("access", "the console is open without a token, with all its actions, to everyone on this machine")


def _actions(settings: Settings, access: Access) -> Finding:
    if access.holders(Door.ACTIONS):
        return ok(
            "access", f"the console's actions (retry, discard, cancel, pause) want {_names(access, Door.ACTIONS)}"
        )
    if access.holders(Door.CONSOLE):
        return ok(
            "access", "the console reads only, because API_TOKEN is not set: act with commands such as wearon pause"
        )
    if settings.wearon_mode is Mode.PRODUCTION:
        return ok("access", "nobody can act over HTTP: act with commands such as wearon pause")
    return ok("access", "everyone on this machine may act in the console")


def _tokens(settings: Settings, access: Access) -> list[Finding]:
    found = []
    if Role.CALLER in access.tokens and access.estimate_is_open:
        found.append(
            warning("access", "ESTIMATE_TOKEN is set, and nobody is asked for it", "set ESTIMATE_ACCESS=token, too")
        )
    if settings.wearon_mode is Mode.LOCAL:  # in production it is a problem of the settings
        found += [
            warning("access", f"{SETTINGS[role]} is so short that it can be guessed", "use `openssl rand -hex 32`")
            for role, token in access.tokens.items()
            if len(token) < LEAST_TOKEN_CHARACTERS
        ]
    return found


def _names(access: Access, door: Door) -> str:
    return " or ".join(SETTINGS[role] for role in SETTINGS if role in OPENED_BY[door] & access.tokens.keys())


def _place(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"
