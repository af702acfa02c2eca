"""The platforms under test, each with a shop behind it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.postgrest import Supabase, session_supabase, supabase  # noqa: F401 (fixtures)
from support.shop import LocalShop, Shop, SupabaseShop
from wearon.platform import SupabasePlatform
from wearon.platform.base import Channel, Platform


@pytest.fixture
async def local_shop(tmp_path: Path) -> AsyncIterator[LocalShop]:
    """A new LocalPlatform and its shop."""
    shop = LocalShop(tmp_path / "home")
    await shop.open_shop()
    yield shop
    await shop.close_shop()


@pytest.fixture
async def supabase_shop(supabase: Supabase) -> AsyncIterator[SupabaseShop]:  # noqa: F811
    """A SupabasePlatform on an empty Supabase, and its shop."""
    platform = await SupabasePlatform.connect(supabase.url, supabase.service_role_key)
    yield SupabaseShop(supabase, platform)
    await platform.aclose()


@pytest.fixture(params=["local", pytest.param("supabase", marks=pytest.mark.slow)])
def shop(request: pytest.FixtureRequest) -> Shop:
    """Each of both in turn."""
    found: Shop = request.getfixturevalue(f"{request.param}_shop")
    return found


@pytest.fixture
def platform(shop: Shop) -> Platform:
    """The platform under test."""
    return shop.platform


@pytest.fixture(params=list(Channel))
def channel(request: pytest.FixtureRequest) -> Channel:
    """Each channel in turn."""
    found: Channel = request.param
    return found
