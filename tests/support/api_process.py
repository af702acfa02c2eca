"""The API alone, as a real process in production mode: no Redis, Supabase or OpenAI is there, and none is needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import wearon.samples
from support.gateway import Gateway, Request, Response, running_gateway
from support.machines import API_TOKEN, SECRET_KEY
from support.picture_zoo import saved, scene
from support.processes import SERVE, WorkerProcess, wait_until, worker
from support.redis import free_port

PERSON = (Path(wearon.samples.__file__).parent / "person_1_woman_m.jpg").read_bytes()

PICTURES = {
    "person.jpg": Response(200, PERSON, {"Content-Type": "image/jpeg"}),
    "nobody.jpg": Response(200, saved(scene(), "JPEG"), {"Content-Type": "image/jpeg"}),
    "text.jpg": Response(200, b"not a picture", {"Content-Type": "image/jpeg"}),
    "page.html": Response(200, b"<p/>", {"Content-Type": "text/html"}),
    "missing.jpg": Response(404),
}


@dataclass(frozen=True)
class Api:
    """The running API, and the URLs of the pictures that it may fetch."""

    url: str
    process: WorkerProcess
    picture_urls: tuple[str, ...]

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return int(self.url.rpartition(":")[2])


@pytest.fixture(scope="session")
def pictures() -> Iterator[Gateway]:
    """A server of pictures at an origin that the API trusts."""
    with running_gateway() as gateway:
        for name, response in PICTURES.items():

            def handle(_request: Request, response: Response = response) -> Response:
                return response

            gateway.mount(f"/{name}", handle)
        yield gateway


@pytest.fixture(scope="session")
def api(pictures: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API, warm."""
    folder = tmp_path_factory.mktemp("api")
    nobody = free_port()
    env = {
        "WEARON_MODE": "production",
        "WEARON_HOME": str(folder / "home"),
        "REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
        "SUPABASE_URL": f"http://127.0.0.1:{nobody}",
        "SUPABASE_SERVICE_ROLE_KEY": SECRET_KEY,
        "OPENAI_API_KEY": SECRET_KEY,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{nobody}/v1",
        "API_TOKEN": API_TOKEN,
        "ESTIMATE_ACCESS": "token",
        "IMAGE_TRUSTED_ORIGINS": pictures.url,
        "PORT": "0",
        "POSE_PROCESSES": "1",
    }
    with worker((*SERVE, "--no-consumer", "--no-worker"), env, folder) as process:
        url = process.wait_for("started")["url"]
        process.wait_for("pose processes are warm")
        wait_until(lambda: httpx.get(f"{url}/health").json()["model_loaded"] or None, lambda: process.log)
        yield Api(url, process, tuple(f"{pictures.url}/{name}" for name in PICTURES))
