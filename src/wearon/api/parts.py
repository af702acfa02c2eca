"""What the routes work with, made once when the process starts and handed in."""

from dataclasses import dataclass, field

from wearon.api.console.parts import ConsoleParts
from wearon.api.health import Health
from wearon.metrics import Metrics
from wearon.net.fetch import PictureFetcher
from wearon.overview.overview import Overview
from wearon.platform import LocalPlatform
from wearon.pose.pool import PosePool
from wearon.tracing import Tracing


@dataclass(frozen=True, slots=True)
class ApiParts:
    """`local_platform` is there in local mode only: it hands out the pictures behind signed URLs.

    Without `console` there is none.
    """

    health: Health
    fetcher: PictureFetcher
    pose_pool: PosePool
    local_platform: LocalPlatform | None = None
    metrics: Metrics = field(default_factory=Metrics, kw_only=True)
    tracing: Tracing = field(default_factory=Tracing, kw_only=True)
    overview: Overview | None = None
    console: ConsoleParts | None = None
