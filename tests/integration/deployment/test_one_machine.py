"""`deploy/` for one machine (systemd, nginx, Alertmanager), by these programs' own checks and against the worker."""

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import trustme
import yaml

from support.processes import wait_until
from support.programs import AFTER_GRACE_S, needs, run
from support.redis import free_port
from wearon.api.upload import MOST_BYTES
from wearon.redis import longest_value
from wearon.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ALARMS = {
    rule["alert"]
    for group in yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_set_what_is_a_setting_and_wait_long_enough(unit: Path) -> None:
    text = unit.read_text()
    lines = re.findall(r"^Environment=(.*)$", text, re.MULTILINE)
    given = dict(pair.split("=", 1) for line in lines for pair in line.split())
    assert {name.lower() for name in given} <= set(Settings.model_fields)
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)[0])
    assert stop >= float(given["SHUTDOWN_GRACE_S"]) + AFTER_GRACE_S
    state = re.findall(r"^StateDirectory=(\S+)$", text, re.MULTILINE)[0]
    assert given["WEARON_HOME"] == f"/var/lib/{state}"


def test_composes_redis_refuses_giants_as_local_modes_does() -> None:
    command = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["redis"]["command"]
    for name, value in longest_value.SETTINGS.items():
        assert command[command.index(f"--{name}") + 1] == f"{value // 2**20}mb"


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_knows_every_line_and_finds_little_exposed(unit: Path, tmp_path: Path) -> None:
    there = tmp_path / unit.name
    there.write_text(re.sub(r"/opt/wearon/bin/\w+", "/bin/true", unit.read_text()))
    verified = run("systemd-analyze", "verify", str(there))
    assert [line for line in verified.stderr.splitlines() if unit.name.split(".")[0] in line] == []
    judged = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(there))
    assert judged.returncode == 0, judged.stdout


@needs("amtool")
def test_every_alarm_goes_where_its_severity_says() -> None:
    file = DEPLOY / "alertmanager/alertmanager.yml"
    checked = run("amtool", "check-config", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    test = ("amtool", "config", "routes", "test", "--config.file", str(file))
    for severity, receiver in {"page": "pager", "ticket": "tickets"}.items():
        assert run(*test, f"severity={severity}", "alertname=WearonAny").stdout.strip() == receiver
    late = run(*test, "severity=page", "alertname=WearonRefundLate").stdout.strip()
    assert late == "support,pager"


def test_alertmanager_names_alarms_that_there_are() -> None:
    named = set(re.findall(r"Wearon\w+", (DEPLOY / "alertmanager/alertmanager.yml").read_text()))
    assert named
    assert named <= ALARMS


class Upstream(BaseHTTPRequestHandler):
    """Stands in for the worker: answers with the headers and the number of bytes that reached it."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = yaml.safe_dump({"path": self.path, "bytes": len(body), **dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a running nginx with our configuration: other ports, folders and certificates, nothing else."""
    folder = tmp_path_factory.mktemp("nginx")
    authority = trustme.CA()
    for name, host in {"sizes": "sizes.example.com", "console": "console.example.internal"}.items():
        certificate = authority.issue_cert(host)
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    ours = (DEPLOY / "nginx/wearon.conf").read_text()
    ours = ours.replace("127.0.0.1:8000", f"127.0.0.1:{upstream.server_port}").replace("/etc/nginx/tls", str(folder))
    ours = re.sub(r"^ +listen \[::\].*\n", "", ours, flags=re.MULTILINE)
    ours = ours.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
        "listen 80", f"listen 127.0.0.1:{free_port()}"
    )
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; daemon off; events {{}} http {{ access_log off; {paths}\n{ours}\n}}"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    checked = run(*command, "-t")
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False) as client:
        wait_until(lambda: listens(port) or None, lambda: (folder / "error.log").read_text())
        yield client
    process.terminate()
    process.wait()
    upstream.shutdown()
    upstream.server_close()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def get(nginx: httpx.Client, path: str, host: str = "sizes.example.com") -> httpx.Response:
    return nginx.get(path, headers={"Host": host}, extensions={"sni_hostname": host})


@needs("nginx")
def test_nginx_hands_on_estimates_and_nothing_of_the_operators(nginx: httpx.Client) -> None:
    assert get(nginx, "/health/live").status_code == 200
    for path in (
        "/metrics",
        "/console",
        "/console/api/status",
        "/health",
        "/docs",
        "/estimate-body/",
        "/health/live/..",
    ):
        assert get(nginx, path).status_code == 404, path
    assert get(nginx, "/console", host="console.example.internal").status_code == 200


@needs("nginx")
def test_nginx_hands_photos_on_and_believes_no_address(nginx: httpx.Client) -> None:
    forged = {"Host": "sizes.example.com", "X-Forwarded-For": "203.0.113.9", "X-Request-Id": "req_1"}
    taken = nginx.post("/estimate-body", content=b"x" * 2**20, headers=forged)
    assert taken.status_code == 200, taken.text
    told = yaml.safe_load(taken.text)
    assert told["bytes"] == 2**20
    assert (told["X-Forwarded-For"], told["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
    assert (told["Host"], told["X-Request-Id"]) == ("sizes.example.com", "req_1")


@pytest.mark.parametrize("file", ["nginx/wearon.conf", "kubernetes/ingress.yaml"])
def test_proxies_take_bodies_as_large_as_the_worker_does_and_hardly_more(file: str) -> None:
    text = (DEPLOY / file).read_text().partition("console.example.internal;\n    ssl_")[0]
    (megabytes,) = re.findall(r"body[-_]size:? (\d+)m", text)
    assert MOST_BYTES <= int(megabytes) * 2**20 <= 1.1 * MOST_BYTES


@needs("nginx")
def test_nginx_lets_no_client_have_all_estimates(nginx: httpx.Client) -> None:
    host = {"Host": "sizes.example.com"}
    answers = [nginx.post("/estimate-body", content=b"{}", headers=host).status_code for _ in range(30)]
    assert set(answers) == {200, 429}
