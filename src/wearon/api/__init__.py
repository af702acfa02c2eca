"""The HTTP side: routes, validation, health."""
