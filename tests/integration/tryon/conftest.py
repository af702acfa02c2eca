"""A shop for every test of this folder."""

from support.shops import buyer, platform, shop

__all__ = ["buyer", "platform", "shop"]
