"""What this process counts for Prometheus: one object, made in `wearon.app.base` and handed to all that count.

Names follow Prometheus' conventions: base units, `_total` for counters. Every label value comes from our code or from a
closed list, never from a task, a caller or an answer, so no metric grows without bound. `docs/monitoring.md` lists
them for operators, and a test holds `monitoring/` against them.
"""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from wearon.dependencies import Dependencies, Dependency

JOB_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1, 2, 5, 10, 20, 40, 60, 120, 180, 300, 600)
"""Steps of a job: a PATCH takes 10 ms, a generation 10-60 s, one attempt at it 180 s, the whole job 540 s."""

OPENAI_BUCKETS_S = (0.5, 2, 5, 10, 15, 20, 30, 40, 60, 90, 120, 180)
"""A picture takes 10-60 s; 180 s is an attempt's time limit."""

SHORT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""HTTP answers (1 s is promised, 5 s is when the caller gives up), downloads (30 s is their limit), poses."""

LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Below 10 ms a delay is not noticed; beyond 1 s every estimate breaks its promise."""

LOOP_PROBE_S = 0.1
"""Pause between two probes: a stall is measured to within this much. Ten wake-ups a second cost 0.1 % of a core at
most."""

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that become labels. A caller may send any word as its method, which is counted as `other`."""

OPENAI_OUTCOMES = (
    "answered", "moderated", "rate_limited", "quota_exhausted", "key_rejected", "model_unavailable", "refused",
    "unavailable", "bad_answer", "cut_off",
)  # fmt: skip
DOWNLOAD_OUTCOMES = ("fetched", "refused", "unavailable", "cut_off")
GARMENT_OUTCOMES = ("found", "prepared")
SUPABASE_OUTCOMES = ("ok", "refused", "failed", "cut_off")
HUNG_UP = ("unreadable", "no_head", "crowded", "slow_reader")
FEEDBACK_VERDICTS = ("right", "larger", "smaller", "other", "open", "returned")
POSE_OUTCOMES = ("answered", "refused", "busy", "unavailable", "cut_off")

disable_created_metrics()  # type: ignore[no-untyped-call]
# They would be a gauge for each counter and histogram with the start of this process, which has a metric of its own.


class Metrics:
    """A registry and everything in it. `version` and `mode` become labels of `wearon_build_info`."""

    def __init__(self, version: str = "", mode: str = "") -> None:
        self.registry = CollectorRegistry()
        self._describe_process(version, mode)
        self._make_job_metrics()
        self._make_openai_metrics()
        self._make_neighbour_metrics()
        self._make_api_metrics()

    def _counter(self, name: str, told: str, **labels: Iterable[str]) -> Counter:
        """A counter with these labels and their values, as far as they are known beforehand.

        Those begin at zero: a rate over a counter that begins with its first event misses that one.
        """
        counter = Counter(name, told, tuple(labels), registry=self.registry)
        for values in itertools.product(*labels.values()) if labels else ():
            counter.labels(*values)
        return counter

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(name, told, labels, registry=self.registry)

    def _histogram(self, name: str, told: str, buckets_s: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, told, labels, buckets=buckets_s, registry=self.registry)

    def _describe_process(self, version: str, mode: str) -> None:
        ProcessCollector(registry=self.registry)
        self._gauge("wearon_build_info", "1; the labels say what runs", "version", "mode").labels(version, mode).set(1)
        self.loop_lag = self._histogram(
            "wearon_event_loop_lag_seconds",
            "How much later than asked the event loop woke a sleeper, ten times a second",
            LAG_BUCKETS_S,
        )

    def _make_job_metrics(self) -> None:
        self.jobs = self._counter(
            "wearon_job_attempts",
            "Runs of jobs that have ended, by how; a job that is put back has several",
            channel=(),
            outcome=(),
            reason=(),
        )
        self.steps = self._histogram(
            "wearon_job_step_duration_seconds",
            "Time that a step of a job took, when it ended well; rate_limit is the wait for the fleet's own limit",
            JOB_BUCKETS_S,
            "step",
        )
        self.in_flight = self._gauge("wearon_jobs_in_flight", "Jobs that this process runs now")
        self.slots = self._gauge("wearon_job_slots", "Jobs that this process runs at most")
        self.dead_letters = self._counter(
            "wearon_dead_letters", "Documents that this process put into the dead letters"
        )
        self.refunds = self._counter(
            "wearon_refunds", "Refund intents that this process took a step further", outcome=()
        )

    def _make_openai_metrics(self) -> None:
        self.openai_requests = self._counter(
            "wearon_openai_requests", "Requests to the image model, by outcome", outcome=OPENAI_OUTCOMES
        )
        self.openai_seconds = self._histogram(
            "wearon_openai_request_duration_seconds",
            "From sending a request to the last byte of its answer",
            OPENAI_BUCKETS_S,
            "outcome",
        )
        self.openai_tokens = self._counter("wearon_openai_tokens", "Tokens paid for", direction=(), kind=())
        self.openai_dollars = self._counter("wearon_openai_cost_dollars", "US dollars paid for pictures")
        self.openai_unpriced = self._counter(
            "wearon_openai_unpriced_pictures",
            "Pictures whose cost is not known: no usage in the answer, or a model without a price here",
        )
        self.image_model_pictures = self._counter(
            "wearon_image_model_pictures",
            "Pictures made, by model and whether it is the first of the configured ones or a fallback",
            model=(),
            place=(),
        )
        self.image_model_shutdown = self._gauge(
            "wearon_image_model_shutdown_timestamp_seconds",
            "Begin (UTC) of the announced last day of a configured image model; absent while none is announced",
            "model",
        )

    def show_refusals(self, dependencies: Dependencies) -> None:
        """Add a gauge of each service that /health names."""
        refused = self._gauge(
            "wearon_dependency_refused",
            "1 while a service refuses this process something that it needs, as /health says; else 0",
            "service",
        )
        for service in Dependency:
            refused.labels(service.value).set_function(partial(dependencies.is_refused_by, service))

    def _make_neighbour_metrics(self) -> None:
        self.downloads = self._counter(
            "wearon_downloads",
            "Pictures fetched, by whose they are (trusted: our storage) and outcome",
            origin=("trusted", "public"),
            outcome=DOWNLOAD_OUTCOMES,
        )
        self.download_bytes = self._counter("wearon_download_bytes", "Bytes of pictures that came whole", origin=())
        self.download_seconds = self._histogram(
            "wearon_download_duration_seconds",
            "From asking for a picture, waiting for a slot included, to its last byte or failure",
            SHORT_BUCKETS_S,
            "origin",
        )
        self.garments = self._counter(
            "wearon_garments",
            "Pictures of garments and accessories that jobs got, by whether they were found prepared",
            outcome=GARMENT_OUTCOMES,
        )
        self.supabase_requests = self._counter(
            "wearon_supabase_requests",
            "Requests to Supabase, by service (rest, rpc, storage) and outcome",
            service=("rest", "rpc", "storage"),
            outcome=SUPABASE_OUTCOMES,
        )
        self.supabase_seconds = self._histogram(
            "wearon_supabase_request_duration_seconds",
            "From sending a request to the end of its answer or failure",
            SHORT_BUCKETS_S,
            "service",
        )
        self.deleted_pictures = self._counter(
            "wearon_deleted_pictures",
            "Pictures deleted because they are older than RETENTION_HOURS, by kind (result, upload)",
            kind=("result", "upload"),
        )
        self.redis_commands = self._counter(
            "wearon_redis_commands", "Commands that this process sent to Redis", command=()
        )

    def _make_api_metrics(self) -> None:
        self.http_requests = self._counter(
            "wearon_http_requests",
            "HTTP requests answered; `route` is the path's template, `unmatched` for unknown paths",
            route=(),
            method=(),
            status=(),
        )
        self.http_seconds = self._histogram(
            "wearon_http_request_duration_seconds",
            "From a request's head to the head of its answer",
            SHORT_BUCKETS_S,
            "route",
            "method",
        )
        self.http_connections = self._gauge("wearon_http_connections", "Open connections to the API")
        self.http_hung_up = self._counter(
            "wearon_http_hung_up",
            "Connections that the API ended by itself: unreadable, without a request's head in time, to make "
            "room for others, or because the client did not read",
            reason=HUNG_UP,
        )
        self.wrong_tokens = self._counter(
            "wearon_wrong_tokens",
            "Wrong API tokens, by where (bearer, login) and what was answered (refused, limited)",
            where=("bearer", "login"),
            answer=("refused", "limited"),
        )
        self.estimate_feedback = self._counter(
            "wearon_estimate_feedback",
            "Feedback on sizes, by which one was right (right: the recommended one; open, returned: it does not tell)",
            verdict=FEEDBACK_VERDICTS,
        )
        self.pose_requests = self._counter(
            "wearon_pose_requests",
            "Calls of the pose processes, by outcome (refused: there is nobody to measure, or no picture)",
            outcome=POSE_OUTCOMES,
        )
        self.pose_wait = self._histogram("wearon_pose_wait_seconds", "Wait for a free pose process", SHORT_BUCKETS_S)
        self.pose_run = self._histogram(
            "wearon_pose_run_seconds", "Work of a pose process on one call", SHORT_BUCKETS_S
        )


class LoopWatch:
    """Measures the delay of the event loop, which everything in this process shares."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._longest = 0.0

    async def run(self) -> None:
        """Probe until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOP_PROBE_S
            await asyncio.sleep(LOOP_PROBE_S)
            lag = max(0.0, loop.time() - due)
            self._longest = max(self._longest, lag)
            self._metrics.loop_lag.observe(lag)

    def take_longest(self) -> float:
        """The longest delay in seconds since the last call."""
        longest, self._longest = self._longest, 0.0
        return longest
