"""Fixtures: a real platform for the job side, SQLite in a temporary folder, with the shop's view of it.

The `conftest.py` of a folder imports them, and its tests have them.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.job_side import Buyer, FaultyPlatform, LocalShop
from wearon.platform.base import Channel


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[LocalShop]:
    """A new platform and its shop."""
    found = LocalShop(tmp_path / "home")
    await found.open_shop()
    yield found
    await found.close_shop()


@pytest.fixture
def platform(shop: LocalShop) -> FaultyPlatform:
    """The same platform, to be broken by the test."""
    return FaultyPlatform(shop.platform)


@pytest.fixture(params=["user", "store", "shopper"])
def buyer(request: pytest.FixtureRequest, shop: LocalShop) -> Buyer:
    """Each kind of payer in turn."""
    return {
        "user": Buyer(shop, Channel.B2C),
        "store": Buyer(shop, Channel.B2B),
        "shopper": Buyer(shop, Channel.B2B, "ann@example.com"),
    }[request.param]
