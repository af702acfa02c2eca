"""What a round of deleting old pictures did, and how far the deletion has come: the same model in Redis and as JSON."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from wearon.operations.readable import Moment


class Round(BaseModel):
    """The newest round. A pass over the whole storage takes one round, or several when there is much to do."""

    hours: Annotated[float, Field(gt=0, le=24 * 365)]
    """Pictures that are older are deleted."""
    at: Moment
    """When it ended."""
    pass_from: Moment
    """When the pass began that it belongs to."""
    whole_from: Moment
    """When the last whole pass began: what was too old by then is gone. Before there was one: when the first began."""
    next_folder: str = ""
    """Where the next round goes on; empty: this one has ended its pass."""
    results: int = 0
    uploads: int = 0
    """Deleted; in a dry run, what would be."""
    in_use: int = 0
    """Old pictures that stay: their session is open or has just ended, or a task names them."""
    unknown: int = 0
    """Entries whose names are not those of shoppers' pictures: they stay."""
    examples: list[str] = []
    """The first few of these, cut."""
    error: str = ""
    """Why the newest round could not be finished, or why uploads were left out."""

    @property
    def is_whole(self) -> bool:
        """Whether it has ended its pass."""
        return not self.next_folder

    def behind_since(self) -> datetime:
        """From when on pictures are older than twice what is promised, if no whole pass ends before."""
        return self.whole_from + timedelta(hours=self.hours)
