"""Settings for commands, with a list instead of a traceback when they are wrong."""

from wearon.cli.output import CommandError
from wearon.settings import Settings, SettingsError, load_settings


def settings_or_error() -> Settings:
    """The settings; raises CommandError with everything that is wrong with them."""
    try:
        return load_settings()
    except SettingsError as error:
        raise CommandError(str(error), status=2) from None
