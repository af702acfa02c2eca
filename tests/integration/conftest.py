"""A shop for every test that wants one."""

from support.shops import buyer, platform, shop

__all__ = ["buyer", "platform", "shop"]
