"""Fixtures: both platforms under test, each with the rest of its world behind it.

The `conftest.py` of a folder imports them, and its tests have them.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.observers import platform_observers
from support.platform_side import LocalSide, PlatformSide, SupabaseSide
from support.postgrest import Supabase
from wearon.platform.base import Channel, Platform
from wearon.platform.supabase import SupabasePlatform


@pytest.fixture
async def local_side(tmp_path: Path) -> AsyncIterator[LocalSide]:
    """A new LocalPlatform and its side."""
    side = LocalSide(tmp_path / "home")
    await side.start()
    yield side
    await side.stop()


@pytest.fixture
async def supabase_side(supabase: Supabase) -> AsyncIterator[SupabaseSide]:
    """A SupabasePlatform on an empty Supabase, and its side."""
    platform = await SupabasePlatform.connect(supabase.url, supabase.service_role_key, **platform_observers())
    yield SupabaseSide(supabase, platform)
    await platform.aclose()


@pytest.fixture(params=["local", pytest.param("supabase", marks=pytest.mark.slow)])
def side(request: pytest.FixtureRequest) -> PlatformSide:
    """Each of both in turn."""
    found: PlatformSide = request.getfixturevalue(f"{request.param}_side")
    return found


@pytest.fixture
def platform(side: PlatformSide) -> Platform:
    """The platform under test."""
    return side.platform


@pytest.fixture(params=list(Channel))
def channel(request: pytest.FixtureRequest) -> Channel:
    """Each channel in turn."""
    found: Channel = request.param
    return found
