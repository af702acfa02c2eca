"""Makes the roles' tokens of the settings, for the API and for the doctor."""

from wearon.api.roles import Access, Role
from wearon.settings import EstimateAccess, Settings


def make_access(settings: Settings) -> Access:
    """Who may do what over HTTP."""
    tokens = {
        Role.OPERATOR: settings.api_token,
        Role.VIEWER: settings.viewer_token,
        Role.METRICS: settings.metrics_token,
        Role.CALLER: settings.estimate_token,
    }
    return Access(
        {role: token.get_secret_value() for role, token in tokens.items() if token},
        estimate_is_open=settings.estimate_access is EstimateAccess.OPEN,
    )
