"""Tenants: those who share the queue and its limits, each store by itself and b2c as a whole."""

from wearon.platform.base import Channel

B2C = "b2c"
"""All shoppers on WearOn itself are one tenant."""


def tenant_of(channel: Channel, owner_id: str) -> str:
    """The name of a session's tenant: `b2c`, or `b2b:` and the store's id."""
    return B2C if channel is Channel.B2C else f"{Channel.B2B}:{owner_id}"
