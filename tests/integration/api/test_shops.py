"""Kept charts and feedback over HTTP, on a real Redis; the pose pool is a stand-in."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from support.api_services import api_services
from support.estimates import answer
from support.job_side import new_audit_log, untyped
from support.redis import RedisServer
from wearon.api.app import create_app
from wearon.api.roles import Access, Role
from wearon.feedback.store import FeedbackStore
from wearon.feedback.verdict import Verdict
from wearon.queue import keys
from wearon.redis.allowance import Allowance
from wearon.sizing import EstimateRequest

CHART = {"garment": "top", "sizes": [{"name": "one", "chest_cm": 100}, {"name": "two"}]}
TOKEN = {"Authorization": "Bearer s3cret"}


class Pool:
    """Stands in for the pose pool: an estimate from height and weight."""

    requests: list[EstimateRequest]

    def __init__(self) -> None:
        self.requests = []

    def place(self, *_: Any) -> "Pool":
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    async def run(self, _function: Any, request: EstimateRequest, **_: Any) -> Any:
        self.requests.append(request)
        sizes = dict.fromkeys(request.size_chart.names, 0.0)
        first = request.size_chart.names[0]
        return answer({**sizes, first: 1.0}, first)


class Api:
    """The API in production mode, with a token."""

    def __init__(self, redis: Redis, allowance: Allowance) -> None:
        self.pool = Pool()
        self._services = services = api_services(
            mode="production", pose_pool=self.pool, redis=redis, feedback_allowance=allowance
        )
        transport = httpx.ASGITransport(
            create_app(services, Access({Role.OPERATOR: "s3cret"})), raise_app_exceptions=False
        )
        self.client = httpx.AsyncClient(transport=transport, base_url="http://worker", headers=TOKEN)

    async def estimate(self, **body: object) -> httpx.Response:
        return await self.client.post("/estimate-body", json={"height_cm": 178, "weight_kg": 80, **body})

    def counted(self, metric: str, **labels: str) -> float | None:
        return self._services.metrics.registry.get_sample_value(metric, labels)

    async def tell(self, **body: object) -> httpx.Response:
        return await self.client.post("/estimate-feedback", json=body)


@pytest.fixture
async def api(redis_client: Redis) -> AsyncIterator[Api]:
    api = Api(redis_client, Allowance(0.001, 5))
    yield api
    await api.client.aclose()


async def test_a_chart_is_put_once_and_named_from_then_on(api: Api) -> None:
    put = await api.client.put("/charts/acme/shirts", json=CHART)
    assert (put.status_code, put.json()["version"], put.json()["chart"]) == (200, 1, CHART)
    assert (await api.client.get("/charts/acme/shirts")).json() == put.json()
    assert (await api.client.get("/charts")).json() == {"stores": {"acme": 1}}
    assert [chart["name"] for chart in (await api.client.get("/charts/acme")).json()["charts"]] == ["shirts"]
    estimate = await api.estimate(chart="acme/shirts")
    assert (estimate.status_code, estimate.json()["recommended_size"], estimate.json()["chart_version"]) == (
        200,
        "one",
        1,
    )
    assert api.pool.requests[0].size_chart.names == ("one", "two")
    changed = await api.client.put("/charts/acme/shirts", json={"sizes": [{"name": "S", "hip_cm": 90}]})
    assert changed.json()["version"] == 2
    assert (await api.estimate(chart="acme/shirts")).json()["recommended_size"] == "S"
    assert (await api.client.delete("/charts/acme/shirts")).status_code == 204
    refused = await api.estimate(chart="acme/shirts")
    assert (refused.status_code, refused.json()) == (400, {"detail": "Unknown size chart"})
    for method in ("GET", "DELETE"):
        assert (await api.client.request(method, "/charts/acme/shirts")).status_code == 404


async def test_who_changed_a_chart_is_in_the_audit_log_and_not_the_chart(api: Api, redis_client: Redis) -> None:
    other = {"sizes": [{"name": "S", "hip_cm": 90}]}
    for chart in (CHART, CHART, other):
        await api.client.put("/charts/acme/shirts", json=chart)
    await api.client.put("/charts/acme/shirts?replaces=7", json=CHART)
    for _ in range(2):
        await api.client.delete("/charts/acme/shirts")
    entries = await new_audit_log(redis_client).read(9)
    assert {(one.by, one.via, one.about) for one in entries} == {("operator", "http", "acme/shirts")}
    assert [(one.action, one.before, one.after) for one in reversed(entries)] == [
        ("put_chart", None, {"version": 1}),
        ("put_chart", {"version": 1}, {"version": 2}),
        ("delete_chart", {"version": 2}, None),
    ]
    assert b"hip" not in b"".join(await untyped(redis_client).lrange(keys.AUDIT_LOG, 0, -1))


async def test_a_hostile_chart_or_name_is_not_kept(api: Api) -> None:
    hostile: list[Any] = [
        {},
        {"sizes": []},
        {"sizes": [{"name": "S", "chest_cm": -1}]},
        [],
        "x",
        {"sizes": [{}] * 10_000},
    ]
    for body in hostile:
        assert (await api.client.put("/charts/acme/shirts", json=body)).status_code in {413, 422}
    for path in ("/charts/a%20b/shirts", "/charts/acme/..%2fx", "/charts/" + "a" * 65 + "/x"):
        assert (await api.client.put(path, json=CHART)).status_code in {404, 422}
    assert (await api.client.put("/charts/acme/shirts?replaces=7", json=CHART)).status_code == 409
    assert (await api.client.get("/charts")).json() == {"stores": {}}
    both = await api.estimate(chart="acme/shirts", size_chart=CHART)
    assert (both.status_code, both.json()["detail"][0]["type"]) == (422, "two_charts")
    assert (await api.estimate(chart="acme")).status_code == 422


async def test_charts_are_for_operators_only(api: Api) -> None:
    for method, path in (("PUT", "/charts/a/b"), ("GET", "/charts"), ("GET", "/charts/a/b"), ("DELETE", "/charts/a/b")):
        refused = await api.client.request(method, path, json=CHART, headers={"Authorization": "Bearer wrong"})
        assert refused.status_code == 401


async def test_feedback_is_counted_once_for_the_store_whose_chart_it_was(api: Api, redis_client: Redis) -> None:
    await api.client.put("/charts/acme/shirts", json=CHART)
    estimate = (await api.estimate(chart="acme/shirts")).json()["estimate_id"]
    for outcome in ("kept", "kept", "too_small"):
        told = await api.tell(estimate_id=estimate, size_bought="one", outcome=outcome)
        assert (told.status_code, told.content) == (204, b"")
    (cell,) = await FeedbackStore(redis_client).read()
    assert (cell.store, cell.garment, cell.verdicts[Verdict.LARGER], cell.verdicts[Verdict.RIGHT]) == (
        "acme",
        "top",
        1,
        0,
    )
    taken = {verdict: api.counted("wearon_estimate_feedback_total", verdict=verdict) for verdict in Verdict}
    assert taken == {**dict.fromkeys(Verdict, 0), Verdict.RIGHT: 2, Verdict.LARGER: 1}


async def test_feedback_of_strangers_is_bounded(api: Api, redis_client: Redis) -> None:
    estimate = (await api.estimate()).json()["estimate_id"]
    forged = estimate[:-2] + ("AA" if estimate[-2:] != "AA" else "BB")
    for body, status in [
        ({"estimate_id": forged, "size_bought": "M", "outcome": "kept"}, 400),
        ({"estimate_id": estimate, "size_bought": "M", "outcome": "loved"}, 422),
        ({"estimate_id": estimate, "outcome": "kept"}, 422),
        ({"estimate_id": "1" * 3000, "size_bought": "M", "outcome": "kept"}, 422),
        ({"estimate_id": estimate, "size_bought": "M" * 100, "outcome": "kept"}, 422),
    ]:
        assert (await api.tell(**body)).status_code == status
    assert await redis_client.keys("wearon:feedback:*") == []
    told = [await api.tell(estimate_id=estimate, size_bought="XS", outcome="kept") for _ in range(6)]
    assert [one.status_code for one in told] == [204] * 5 + [429]
    assert told[-1].headers["retry-after"]


async def test_without_redis_estimates_go_on_and_the_rest_says_so(api: Api, redis_server: RedisServer) -> None:
    await api.client.put("/charts/acme/shirts", json=CHART)
    assert (await api.estimate(chart="acme/shirts")).status_code == 200
    redis_server.stop()
    estimate = await api.estimate(chart="acme/shirts")
    assert (estimate.status_code, (await api.estimate()).status_code) == (200, 200)
    told = await api.tell(estimate_id=estimate.json()["estimate_id"], size_bought="one", outcome="kept")
    assert (told.status_code, "retry-after" in told.headers) == (503, True)
    refused = await api.estimate(chart="acme/other")
    assert (refused.status_code, refused.json()) == (503, {"detail": "Size charts are temporarily unavailable"})
    assert (await api.client.put("/charts/acme/shirts", json=CHART)).status_code == 503
