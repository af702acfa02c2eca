"""Makes the roles' tokens of the settings, for the API and for the doctor."""

from pydantic import SecretStr

from wearon.api.roles import SETTINGS, Access, Role
from wearon.settings import EstimateAccess, Settings


def make_access(settings: Settings) -> Access:
    """Who may do what over HTTP."""
    tokens: dict[Role, SecretStr | None] = {role: getattr(settings, name.lower()) for role, name in SETTINGS.items()}
    return Access(
        {role: token.get_secret_value() for role, token in tokens.items() if token},
        estimate_is_open=settings.estimate_access is EstimateAccess.OPEN,
    )
