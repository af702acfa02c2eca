"""What a really running worker tells Prometheus and a collector of spans, and whether `monitoring/` asks for that."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.exposition import Scrape, scrape
from support.machines import API_TOKEN, Machines
from support.openai_stub import COST_USD, MODERATION, OpenAIStub
from support.otlp_stub import OtlpStub
from support.processes import wait_until
from support.promql import read_query, what_is_missing
from support.shop import Shop

pytestmark = pytest.mark.slow

MONITORING = Path(__file__).parents[2] / "monitoring"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "grafana/dashboards/wearon.json").read_text())

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def queries() -> Iterator[tuple[str, str]]:
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def url_of(process: Any) -> str:
    return str(process.wait_for("started")["url"])


def test_real_work_moves_the_numbers_that_monitoring_asks_for(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    openai.announce("gpt-image-2", date(2027, 6, 1))
    process = machines.serve(API_TOKEN=API_TOKEN)
    url = url_of(process)
    process.wait_for("pose processes are warm")
    before = scrape(url)
    done = shop.buy("b2c")
    shop.push(done)
    shop.wait_for_end(done)
    openai.always(MODERATION)
    refused = shop.buy("b2b")
    shop.push(refused)
    shop.wait_for_end(refused)
    shop.push_raw("this is no task")
    shop.wait_until_settled()
    token = {"Authorization": f"Bearer {API_TOKEN}"}
    body = {"image_url": shop.person_url, "height_cm": 170}
    httpx.post(f"{url}/estimate-body", json=body, headers=token, timeout=30)
    after = wait_until(lambda: _with_dead_letter(scrape(url)), lambda: "the dead letter is not seen")

    def moved(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    assert moved("wearon_job_attempts_total", channel="b2c", outcome="completed") == 1
    assert moved("wearon_job_attempts_total", channel="b2b", outcome="failed", reason="moderation") == 1
    for step in ("start", "photos", "rate_limit", "generate", "upload", "complete", "refund"):
        assert moved("wearon_job_step_duration_seconds_count", step=step) >= 1, step
    assert moved("wearon_openai_requests_total", outcome="answered") == 1
    assert moved("wearon_openai_requests_total", outcome="moderated") == 1
    assert moved("wearon_openai_tokens_total", direction="output", kind="image") == 1584
    assert moved("wearon_openai_cost_dollars_total") == pytest.approx(float(COST_USD))
    assert moved("wearon_downloads_total", origin="trusted", outcome="fetched") == 5
    assert moved("wearon_download_bytes_total", origin="trusted") > 1000
    assert moved("wearon_garments_total", outcome="prepared") == 1
    assert moved("wearon_garments_total", outcome="found") == 1
    assert moved("wearon_supabase_requests_total", service="rest", outcome="ok") >= 4
    assert moved("wearon_supabase_requests_total", service="rpc", outcome="ok") == 1
    assert moved("wearon_supabase_requests_total", service="storage", outcome="ok") == 3  # the bucket, upload, sign
    assert moved("wearon_refunds_total", outcome="given_back") == 1
    assert moved("wearon_dead_letters_total") == 1
    assert moved("wearon_http_requests_total", route="/estimate-body", method="POST") == 1
    assert moved("wearon_pose_run_seconds_count") == 1
    assert moved("wearon_redis_commands_total", command="EVALSHA") > 0
    assert moved("wearon_event_loop_lag_seconds_count") > 0
    assert after.value("wearon_job_slots") == 20
    assert after.value("wearon_queue_depth", queue="tasks") == 0
    assert after.value("wearon_part_up", part="consumer") == 1
    assert after.labels("wearon_dependency_refused")["service"] == {"redis", "supabase", "openai", "machine"}
    assert after.value("wearon_dependency_refused") == 0
    assert after.value("process_resident_memory_bytes") > 1e6
    missing = [
        f"{where}: {what}"
        for where, expression in queries()
        for what in what_is_missing(read_query(expression.replace("$__rate_interval", "5m")), after)
    ]
    assert missing == []


def _with_dead_letter(found: Scrape) -> Scrape | None:
    return found if found.value("wearon_queue_depth", queue="dead_letters") == 1 else None


def test_no_caller_makes_a_label(machines: Machines) -> None:
    process = machines.serve("--no-consumer", "--no-worker", API_TOKEN=API_TOKEN)
    url = url_of(process)
    scrape(url)  # of itself
    before = sum(1 for _ in scrape(url).samples)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {API_TOKEN}"}) as client:
        for number in range(50):
            client.get(f"/{number}")
            client.get(f"/estimate-body/{number}?a={number}")
            client.request(f"BREW{number}", "/estimate-body")  # refused before it is a request
            client.request("PROPFIND", "/estimate-body")
            client.get("/health", headers={"X-Request-Id": f"req{number}", "traceparent": f"{number}"})
    after = scrape(url)
    assert after.labels("wearon_http_requests_total")["route"] <= {"/health", "/metrics", "/estimate-body", "unmatched"}
    assert after.labels("wearon_http_requests_total")["method"] == {"GET", "other"}
    new = sum(1 for _ in after.samples) - before
    assert new < 100  # three routes with two methods: some histograms, however many the requests
    assert not re.search(r"BREW|req\d", after.text)


def test_metrics_are_for_those_who_have_the_token(machines: Machines) -> None:
    url = url_of(machines.serve("--no-consumer", "--no-worker", API_TOKEN=API_TOKEN))
    assert httpx.get(f"{url}/metrics").status_code == 401


@pytest.mark.parametrize("command_line", ["arq", "serve"])
def test_a_process_without_the_api_serves_its_own_metrics(shop: Shop, machines: Machines, command_line: str) -> None:
    settings = {"API_TOKEN": API_TOKEN, "METRICS_PORT": "0"}
    machines.serve("--no-api", "--no-worker")
    process = machines.arq(**settings) if command_line == "arq" else machines.serve("--no-api", **settings)
    port = process.wait_for("metrics are served")["port"]
    order = shop.buy("b2c")
    shop.push(order)
    shop.wait_for_end(order)
    shop.wait_until_settled()
    url = f"http://127.0.0.1:{port}"
    found = scrape(url)
    assert found.value("wearon_job_attempts_total", outcome="completed") == 1
    assert found.value("wearon_openai_requests_total", outcome="answered") == 1
    assert found.value("wearon_redis_commands_total") > 0
    assert "wearon_queue_depth" not in found.names  # the fleet's numbers come from the API
    assert httpx.get(f"{url}/metrics").status_code == 401
    assert httpx.get(f"{url}/health").status_code in {401, 404}
    assert httpx.get(f"{url}/health/live").status_code == 200  # the probe of deploy/kubernetes/jobs.yaml
    assert process.stop() == 0


def test_one_trace_goes_from_whoever_pushed_the_task_to_every_call(
    shop: Shop, machines: Machines, openai: OpenAIStub
) -> None:
    with OtlpStub() as otlp:
        process = machines.serve("--no-api", OTEL_EXPORTER_OTLP_ENDPOINT=otlp.url, OTEL_SERVICE_NAME="shop")
        told = shop.buy("b2c")
        shop.push(told, traceparent=f"00-{TRACE}-{PARENT}-01")
        untold = shop.buy("b2b")
        shop.push(untold, traceparent=["no", "trace"])
        for order in (told, untold):
            shop.wait_for_end(order)
        shop.wait_until_settled()
        assert process.stop() == 0

    for order, trace_id in ((told, TRACE), (untold, untold.session_id.replace("-", ""))):
        spans = [span for span in otlp.spans if span.trace_id == trace_id]
        by_id = {span.span_id: span for span in spans}
        (job,) = [span for span in spans if span.name == "generate" and span.parent_id not in by_id]
        assert job.parent_id == (PARENT if order is told else "")
        assert job.attributes["wearon.session_id"] == order.session_id
        assert job.attributes["wearon.outcome"] == "completed"
        steps = {span.name: span for span in spans if span.parent_id == job.span_id}
        assert {"start", "photos", "generate", "upload", "complete"} <= set(steps)
        (asked,) = [span for span in spans if span.name == "POST /images/edits"]
        assert asked.parent_id == steps["generate"].span_id
        assert len([span for span in spans if span.name == "GET picture"]) == 2
        assert all(by_id[s.parent_id].name == "photos" for s in spans if s.name == "GET picture")
        (request,) = [r for r in openai.requests if r.headers["x-client-request-id"] == order.request_id]
        assert request.headers["traceparent"] == f"00-{trace_id}-{asked.span_id}-01"
        lines = [line for line in process.lines if line.get("session_id") == order.session_id]
        assert len(lines) > 5
        assert {line.get("trace_id") for line in lines} == {trace_id}
    assert {span.service for span in otlp.spans} == {"shop"}
    assert "token=" not in repr(otlp.spans)


def test_a_callers_trace_goes_through_an_estimate(shop: Shop, machines: Machines) -> None:
    with OtlpStub() as otlp:
        process = machines.serve("--no-consumer", "--no-worker", OTEL_EXPORTER_OTLP_ENDPOINT=otlp.url)
        process.wait_for("pose processes are warm")
        body = {"image_url": shop.person_url, "height_cm": 170}
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "req_estimate"}
        httpx.post(f"{url_of(process)}/estimate-body", json=body, headers=headers, timeout=30)
        assert process.stop() == 0
    (served,) = otlp.named("POST /estimate-body")
    assert (served.trace_id, served.parent_id) == (TRACE, PARENT)
    assert {span.name for span in otlp.spans if span.parent_id == served.span_id} == {"GET picture", "pose"}
    line = process.wait_for("request", path="/estimate-body")
    assert (line["trace_id"], line["request_id"]) == (TRACE, "req_estimate")


def test_alerts_say_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    headings = re.findall(r"^#+ (\w+)$", (MONITORING.parent / "docs/monitoring.md").read_text(), re.MULTILINE)
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description", "runbook"} == set(rule["annotations"])
        assert re.fullmatch(r"\d+[sm]", rule.get("for", "0s"))
        assert rule["alert"] in headings, f"docs/monitoring.md has no section for {rule['alert']}"
        assert rule["annotations"]["runbook"] == f"docs/monitoring.md#{rule['alert'].lower()}"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus' promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_own_tool_has_nothing_to_say(arguments: tuple[str, ...]) -> None:
    ran = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_dashboard_asks_the_datasource_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == source["uid"]


def test_compose_mounts_what_is_there() -> None:
    compose = yaml.safe_load((MONITORING.parent / "compose.yaml").read_text())
    for name in ("prometheus", "grafana"):
        service = compose["services"][name]
        assert service["profiles"] == ["monitoring"]
        assert re.search(r":v?\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", service["image"]), "pinned"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (MONITORING.parent / source).exists(), volume
    assert compose["services"]["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    port = compose["services"]["jobs"]["environment"]["METRICS_PORT"]
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"][1]
    assert jobs["dns_sd_configs"][0]["port"] == port
