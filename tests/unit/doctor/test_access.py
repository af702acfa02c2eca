"""The doctor names each door and whom it is open to."""

import pytest

from wearon.doctor.access import check_access
from wearon.doctor.findings import Level
from wearon.settings import Settings

LOCAL = {"wearon_mode": "local"}
PRODUCTION = {
    "wearon_mode": "production",
    "redis_url": "redis://queue",
    "supabase_url": "https://project.supabase.co",
    "supabase_service_role_key": "service-role-key",
    "openai_api_key": "sk-openai-key",
}
TOKENS = {f"{name}_token": f"{name}-token-0123456789" for name in ("api", "viewer", "metrics", "estimate")}


def some(*names: str) -> dict[str, str]:
    return {f"{name}_token": TOKENS[f"{name}_token"] for name in names}


@pytest.mark.parametrize(
    ("given", "said", "warnings"),
    [
        (LOCAL, ["/estimate-body is open to everyone who reaches 127.0.0.1:8000", "to everyone on this machine"], 0),
        ({**LOCAL, "host": "::"}, ["/metrics is open to everyone who reaches [::]:8000"], 1),
        ({**LOCAL, "viewer_token": "short"}, ["VIEWER_TOKEN is so short", "the console reads only"], 1),
        (PRODUCTION, ["/metrics is not there", "there is no console", "nobody can act over HTTP"], 2),
        ({**PRODUCTION, **some("metrics")}, ["/metrics wants METRICS_TOKEN", "there is no console"], 1),
        ({**PRODUCTION, **some("viewer")}, ["wants VIEWER_TOKEN", "the console reads only"], 0),
        ({**PRODUCTION, **some("api", "viewer")}, ["wants API_TOKEN or VIEWER_TOKEN", "pause) want API_TOKEN"], 0),
        ({**PRODUCTION, **TOKENS}, ["/estimate-body is open to everyone", "ESTIMATE_TOKEN is set, and nobody"], 1),
        (
            {**PRODUCTION, **TOKENS, "estimate_access": "token"},
            ["/estimate-body wants API_TOKEN or ESTIMATE_TOKEN", "/metrics wants API_TOKEN or VIEWER_TOKEN or METRICS"],
            0,
        ),
        ({**PRODUCTION, **some("api"), "cors_origins": "*"}, ["so may every web page"], 1),
    ],
)
def test_each_open_door_is_said_in_words(given: dict[str, str], said: list[str], warnings: int) -> None:
    found = check_access(Settings(_env_file=None, **given))  # type: ignore[arg-type]
    told = "\n".join(finding.message for finding in found)
    assert [part for part in said if part not in told] == []
    assert [finding.level for finding in found].count(Level.WARNING) == warnings
    assert all(token not in repr(found) for token in TOKENS.values())
    for door in ("/health", "/estimate-body", "/metrics", "console", "act"):
        assert door in told
