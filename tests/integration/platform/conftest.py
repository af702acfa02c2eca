"""Both platforms for every test."""

from support.sides import channel, local_side, platform, side, supabase_side

__all__ = ["channel", "local_side", "platform", "side", "supabase_side"]
