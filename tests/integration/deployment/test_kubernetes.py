"""`deploy/kubernetes/` against Kubernetes' own schemas and KEDA's types, and against the worker as it is."""

import copy
import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from typer.main import get_command

from support.programs import AFTER_GRACE_S, needs, run
from wearon.api.middleware import OPEN_PATHS
from wearon.cli.app import app
from wearon.operations.models import Health, QueueLengths
from wearon.resources.machine import Resources
from wearon.settings import Settings, load_settings
from wearon.settings.settings import PICTURE_PROCESS_BYTES, POSE_PROCESS_BYTES

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy/kubernetes"
SCHEMAS = ROOT / "tests/.kubernetes/schemas.json"
KEDA = ROOT / "tests/node_modules/@kubernetes-models/keda"
ALERTS = [
    rule for group in yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text())["groups"] for rule in group["rules"]
]

MIB = 2**20


def objects() -> Iterator[dict[str, Any]]:
    for file in sorted(KUBERNETES.glob("*.yaml")):
        if file.name != "kustomization.yaml":
            yield from yaml.safe_load_all(file.read_text())


def workload(name: str) -> dict[str, Any]:
    (found,) = (one for one in objects() if one["metadata"]["name"] == name and "template" in one.get("spec", {}))
    return found


PODS = {name: workload(name)["spec"]["template"]["spec"] for name in ("wearon-serve", "wearon-jobs")}
CONTAINERS: dict[str, dict[str, Any]] = {name: pod["containers"][0] for name, pod in PODS.items()}


def variables(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))


COMMON = variables((KUBERNETES / "settings.env").read_text())
SECRETS = variables((KUBERNETES / "secrets.env.example").read_text())


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """What the pod gets besides what the image sets, with the secret as in the example, filled in."""
    filled = {
        name: value.replace("PASSWORD@HOST", "pw@redis") or f"the-{name.lower()}-of-this-cluster"
        for name, value in SECRETS.items()
    }
    own = {one["name"]: one.get("value") or filled[one["valueFrom"]["secretKeyRef"]["key"]] for one in container["env"]}
    return COMMON | own


@pytest.fixture
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(not SCHEMAS.exists(), reason="scripts/test-services.sh could not get Kubernetes' schemas")
def test_kubernetes_objects_are_what_its_schemas_allow() -> None:
    schemas = json.loads(SCHEMAS.read_text())
    names = {name.lower(): name for name in schemas["$defs"]}
    found = list(objects())
    assert len(found) > 8
    for one in found:
        group, _, version = one["apiVersion"].rpartition("/")
        end = f"{group.partition('.')[0] or 'core'}.{version}.{one['kind']}".lower()
        (name,) = (names[key] for key in names if key.startswith("io.k8s.api.") and key.endswith(f".{end}"))
        problems = jsonschema_rs.Draft202012Validator(schemas | {"$ref": f"#/$defs/{name}"}).iter_errors(one)
        assert [f"{list(problem.instance_path)}: {problem.message}" for problem in problems] == [], one["metadata"]


@needs("kubectl")
@pytest.mark.parametrize("with_keda", [False, True])
def test_kustomize_puts_it_together(tmp_path: Path, with_keda: bool) -> None:
    folder = shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    kustomization = folder / "kustomization.yaml"
    if with_keda:
        kustomization.write_text(kustomization.read_text().replace("# components:", "components:"))
    built = run("kubectl", "kustomize", str(folder))
    assert built.returncode == 0, built.stderr
    made = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(built.stdout)}
    assert all(one["metadata"].get("namespace", "wearon") == "wearon" for one in made.values())
    workers = made["StatefulSet", "wearon-jobs"]["spec"]
    assert ("replicas" in workers) != with_keda
    assert (("ScaledObject", "wearon-jobs") in made) == with_keda
    container = workers["template"]["spec"]["containers"][0]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"].endswith(f"/wearon-worker:{version}")
    assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in made


@pytest.mark.usefixtures("_no_settings")
@pytest.mark.parametrize("name", CONTAINERS)
def test_pods_get_complete_settings_and_nothing_else(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    given = environment(CONTAINERS[name])
    assert {variable.lower() for variable in given} <= set(Settings.model_fields)
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert settings.metrics_port in {None, *(port["containerPort"] for port in CONTAINERS[name]["ports"])}
    assert str(settings.wearon_home) in {mount["mountPath"] for mount in CONTAINERS[name]["volumeMounts"]}


def test_each_key_of_the_secret_is_for_some_pod_and_the_operators_token_not_for_workers() -> None:
    taken = {name: {one["name"] for one in container["env"]} for name, container in CONTAINERS.items()}
    assert set(SECRETS) <= taken["wearon-serve"] | taken["wearon-jobs"]
    assert not taken["wearon-jobs"] & {"API_TOKEN", "VIEWER_TOKEN", "ESTIMATE_TOKEN"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_probes_ask_a_path_that_is_open_at_a_port_that_is_there(name: str) -> None:
    container = CONTAINERS[name]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    probes = [probe["httpGet"] for key, probe in container.items() if key.endswith("Probe")]
    assert len(probes) >= 2
    # /health asks Redis; a probe by it would end all pods while Redis is away.
    assert all(probe["path"] == "/health/live" and probe["path"] in OPEN_PATHS for probe in probes)
    image_port = int(re.findall(r"\bPORT=(\d+)", (ROOT / "Dockerfile").read_text())[0])
    expected = {"wearon-serve": image_port, "wearon-jobs": int(environment(container).get("METRICS_PORT", 0))}
    assert {ports[probe["port"]] for probe in probes} == {expected[name]}


def test_commands_are_the_workers_own() -> None:
    program, command, *options = CONTAINERS["wearon-serve"]["command"]
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    context = get_command(app).make_context("wearon", [command], resilient_parsing=True)
    _, found, _ = get_command(app).resolve_command(context, [command])  # type: ignore[attr-defined]
    known = {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert set(options) <= known
    assert CONTAINERS["wearon-jobs"]["command"] == ["arq", "wearon.worker.WorkerSettings"]
    assert "class WorkerSettings:" in (ROOT / "src/wearon/worker.py").read_text()  # its import asks for a Redis


@pytest.mark.parametrize("name", CONTAINERS)
def test_nothing_is_killed_before_it_has_handed_its_work_back(name: str) -> None:
    grace = PODS[name]["terminationGracePeriodSeconds"]
    before = int(CONTAINERS[name].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [0])[-1])
    assert grace >= before + float(COMMON["SHUTDOWN_GRACE_S"]) + AFTER_GRACE_S


@pytest.mark.parametrize(
    ("name", "bytes_each"), [("wearon-serve", POSE_PROCESS_BYTES), ("wearon-jobs", PICTURE_PROCESS_BYTES)]
)
def test_limits_leave_room_for_two_child_processes(name: str, bytes_each: int) -> None:
    limits = CONTAINERS[name]["resources"]["limits"]
    memory = int(limits["memory"].removesuffix("Mi")) * MIB
    assert Resources(float(limits["cpu"]), memory).processes(bytes_each) == 2


def test_paid_pictures_outlive_a_worker() -> None:
    claims = {claim["metadata"]["name"] for claim in workload("wearon-jobs")["spec"]["volumeClaimTemplates"]}
    (home,) = (m for m in CONTAINERS["wearon-jobs"]["volumeMounts"] if m["mountPath"] == COMMON["WEARON_HOME"])
    assert home["name"] in claims


def test_the_internet_reaches_estimates_only() -> None:
    (ingress,) = (one for one in objects() if one["kind"] == "Ingress")
    paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    assert {(path["path"], path["pathType"]) for path in paths} == {
        ("/estimate-body", "Exact"),
        ("/health/live", "Exact"),
    }


SCALED_OBJECT = yaml.safe_load((KUBERNETES / "keda/scaled-object.yaml").read_text())


def what_keda_says(scaled_object: Mapping[str, Any]) -> list[str]:
    checked = run("node", str(ROOT / "tests/support/check_keda.mjs"), answer=json.dumps(scaled_object))
    assert checked.returncode == 0, checked.stderr
    return checked.stdout.splitlines()


@needs("node")
@pytest.mark.skipif(not KEDA.exists(), reason="scripts/test-services.sh could not get KEDA's types")
def test_kedas_object_is_what_its_types_allow() -> None:
    assert what_keda_says(SCALED_OBJECT) == []
    # So that a package which checks nothing any more is noticed.
    broken = copy.deepcopy(SCALED_OBJECT)
    broken["spec"]["pollingInterval"] = "15"
    broken["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaledown"] = {}
    problems = "\n".join(what_keda_says(broken))
    assert "pollingInterval must be integer" in problems
    assert "'\"scaledown\"' does not exist" in problems


def test_keda_scales_the_workers_by_a_figure_that_health_has() -> None:
    spec = SCALED_OBJECT["spec"]
    scaled = spec["scaleTargetRef"]
    target = workload(scaled["name"])
    assert (target["apiVersion"], target["kind"]) == (scaled["apiVersion"], scaled["kind"])
    (trigger,) = spec["triggers"]
    # What a trigger is told is not in KEDA's types: names of another scaler would pass there.
    assert (trigger["type"], set(trigger["metadata"])) == ("metrics-api", {"url", "valueLocation", "targetValue"})
    (service,) = (one for one in objects() if one["kind"] == "Service" and one["metadata"]["name"] == "wearon")
    port = service["spec"]["ports"][0]["port"]
    assert trigger["metadata"]["url"] == f"http://wearon.wearon.svc:{port}/health"
    first, second = trigger["metadata"]["valueLocation"].split(".")
    assert first in Health.model_fields
    assert second in QueueLengths.model_fields
    slots = int(COMMON["WORKER_CONCURRENCY"])
    assert 0 < int(trigger["metadata"]["targetValue"]) < slots
    assert 2 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    # More workers than the account's limit can feed, at 30 s a picture, would only wait.
    assert (spec["maxReplicaCount"] - 1) * slots / 0.5 <= 1.1 * int(COMMON["OPENAI_REQUESTS_PER_MINUTE"])


@needs("promtool")
def test_prometheus_takes_the_scrape_configuration() -> None:
    file = KUBERNETES / "prometheus-scrape.yml"
    checked = run("promtool", "check", "config", "--syntax-only", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    jobs = yaml.safe_load(file.read_text())["scrape_configs"]
    scraped = {job["job_name"] for job in jobs}
    headless = {
        (f"{one['metadata']['name']}.wearon.svc.cluster.local", one["spec"]["ports"][0]["port"])
        for one in objects()
        if one.get("spec", {}).get("clusterIP") == "None"
    }
    assert {(job["dns_sd_configs"][0]["names"][0], job["dns_sd_configs"][0]["port"]) for job in jobs} == headless
    asked = {
        name for rule in ALERTS for found in re.findall(r'job=~?"([^"]+)"', rule["expr"]) for name in found.split("|")
    }
    assert asked <= scraped
