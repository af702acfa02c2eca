"""Local mode for people: a worker in a folder, tasks from the command line, data that survives, sizes, the demo."""

import io
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import redis as sync_redis
from PIL import Image

from support.processes import ARQ, SERVE, WorkerProcess, run_wearon, wait_until, worker
from wearon.samples import MAN_L, TSHIRT

pytestmark = pytest.mark.slow

PERSON, GARMENT = str(MAN_L.path), str(TSHIRT.path)
PAIRS = Path(__file__).parents[1] / "data" / "sizing" / "pairs"
FRONT, SIDE = str(PAIRS / "pair_003.jpg"), str(PAIRS / "pair_003_side.jpg")


class Folder:
    """A newcomer's folder: commands run in it, with nothing set but free ports."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack
        self.env = {"PORT": "0", "LOCAL_REDIS_PORT": "0", "POSE_PROCESSES": "1", "PICTURE_PROCESSES": "1"}

    def start(self, command: tuple[str, ...] = SERVE) -> WorkerProcess:
        process = self._stack.enter_context(worker(command, self.env, self.path))
        process.wait_for("started")
        return process

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_wearon(*arguments, env={**self.env, "COLUMNS": "200", "NO_COLOR": "1"}, cwd=self.path)

    def redis(self, process: WorkerProcess) -> sync_redis.Redis:
        """As a producer reaches it: the printed address, and the password from its file."""
        password = (self.path / ".wearon/redis/password").read_text()
        return sync_redis.Redis.from_url(str(process.wait_for("started")["redis"]), password=password)

    def wait_for_redis(self, process: WorkerProcess) -> None:
        """Until it is back, after it has ended."""
        process.wait_for("local redis has ended: it is started again")
        client = self.redis(process)

        def answers() -> bool | None:
            with suppress(sync_redis.ConnectionError):
                return bool(client.ping())
            return None

        wait_until(answers, lambda: process.log)
        client.close()

    def enqueue(self, *arguments: str) -> dict[str, str]:
        done = self.run("enqueue", "--person", PERSON, "--garment", GARMENT, "--follow", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        session: dict[str, str] = json.loads(done.stdout)
        return session


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with ExitStack() as stack:
        yield Folder(tmp_path, stack)


def picture_at(url: str) -> Image.Image:
    return Image.open(io.BytesIO(httpx.get(url).raise_for_status().content))


def format_of(file: Path) -> str | None:
    with Image.open(file) as image:
        return image.format


def test_the_api_and_the_jobs_can_be_two_processes(folder: Folder) -> None:
    folder.start((*SERVE, "--no-worker"))
    jobs = folder.start((*SERVE, "--no-api"))
    session = folder.enqueue()
    assert session["status"] == "completed"
    assert picture_at(session["generated_image_url"]).format == "JPEG"
    assert "session completed" in jobs.log


def test_a_task_from_the_command_line_becomes_a_preview_that_survives_a_restart(folder: Folder) -> None:
    first = folder.start()
    session = folder.enqueue("--channel", "b2b")
    assert session["status"] == "completed"
    preview = picture_at(session["generated_image_url"])
    assert preview.format == "JPEG"
    assert "not made by an image model" in preview.getexif()[0x010E].lower()
    chest = np.asarray(preview.convert("RGB").crop((330, 250, 400, 320)))
    assert chest[..., 2].mean() > chest[..., 0].mean() + 60, "the blue shirt is on the person"
    assert any("no image model was asked" in line["event"] for line in first.lines)
    redis_url = first.wait_for("started")["redis"]
    assert first.stop() == 0

    second = folder.start()
    assert second.wait_for("started")["redis"] == redis_url, "producers may have written it down"
    again = folder.enqueue()
    assert again["status"] == "completed"
    path = httpx.URL(session["generated_image_url"]).raw_path.decode()
    assert httpx.get(str(second.wait_for("started")["url"]) + path).status_code == 200
    assert second.stop() == 0


def test_a_bad_picture_fails_kindly_and_gives_the_credit_back(folder: Folder) -> None:
    folder.start()
    page = folder.path / "page.jpg"
    page.write_text("<html>no picture</html>")
    done = folder.run("enqueue", "--person", str(page), "--garment", GARMENT, "--follow")
    assert done.returncode == 1
    assert "Internal error during generation" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_producer_can_push_to_the_printed_redis(folder: Folder) -> None:
    process = folder.start()
    client = folder.redis(process)
    client.lpush("wearon:tasks:generation", "not a task")
    process.wait_for("dead letter")
    client.close()


def test_a_printed_task_can_be_pushed_by_whatever_talks_to_redis(folder: Folder) -> None:
    process = folder.start()
    done = folder.run("enqueue", "--person", PERSON, "--garment", GARMENT, "--print-task")
    task = json.loads(done.stdout)
    client = folder.redis(process)
    client.lpush("wearon:tasks:generation", done.stdout)
    process.wait_for("session completed", session_id=task["session_id"], request_id=task["request_id"])
    client.close()


def test_arqs_command_line_finds_the_running_local_redis(folder: Folder) -> None:
    without = subprocess.run(
        ARQ, cwd=folder.path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert without.returncode == 1
    assert "wearon serve" in without.stderr
    assert "Traceback" not in without.stderr
    folder.start((*SERVE, "--no-worker"))
    jobs = folder.start(ARQ)
    assert folder.enqueue()["status"] == "completed"
    assert is_healthy_for_arq(folder)
    assert jobs.stop() == 0
    assert not is_healthy_for_arq(folder)


def is_healthy_for_arq(folder: Folder) -> bool:
    with worker((*ARQ, "--check"), folder.env, folder.path) as checking:
        status = checking.wait()
        assert "Traceback" not in checking.log
        return status == 0


def test_what_lies_in_the_folder_is_this_users_alone(folder: Folder) -> None:
    process = folder.start()
    assert folder.enqueue()["status"] == "completed"
    home = folder.path / ".wearon"
    modes = {path.relative_to(home): stat.S_IMODE(path.stat().st_mode) for path in (home, *home.rglob("*"))}
    assert {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    assert process.stop() == 0


def test_several_in_one_folder_share_tasks_and_pictures_whoever_ends_first(folder: Folder) -> None:
    first, second = folder.start(), folder.start()
    done = {folder.enqueue()["session_id"] for _ in range(4)}
    by_each = [sum(line["event"] == "session completed" for line in process.lines) for process in (first, second)]
    assert sum(by_each) == len(done) == 4

    assert first.stop() == 0
    folder.wait_for_redis(second)
    later = folder.enqueue()
    assert later["status"] == "completed"
    assert picture_at(later["generated_image_url"]).format == "JPEG"

    third = folder.start()
    assert third.wait_for("started")["redis"] == second.wait_for("started")["redis"]
    assert second.stop() == 0
    folder.wait_for_redis(third)
    assert folder.enqueue()["status"] == "completed"
    assert third.stop() == 0


def test_a_redis_that_is_killed_comes_back_and_loses_no_task(folder: Folder) -> None:
    process = folder.start()
    client = folder.redis(process)
    server: dict[str, int] = client.info("server")
    os.kill(server["process_id"], signal.SIGKILL)
    client.close()
    folder.wait_for_redis(process)
    assert folder.enqueue()["status"] == "completed"
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("enqueue", "--person", PERSON, "--garment", GARMENT), "wearon serve"),
        (("estimate", "nowhere.jpg", "--height", "180"), "nowhere.jpg"),
        (("estimate", PERSON, "--height", "20"), "height"),
        (("estimate", "--height", "180"), "give a photo"),
        (("estimate", "--height", "180", "--weight", "80", "--side", PERSON), "give a photo"),
        (("estimate", GARMENT, "--height", "180"), "could not find a person"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(folder: Folder, arguments: tuple[str, ...], complaint: str) -> None:
    done = folder.run(*arguments)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_estimate_prints_a_size_and_draws_it(folder: Folder) -> None:
    done = folder.run("estimate", PERSON, "--height", str(MAN_L.height_cm), "--annotate", "measured.jpg", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert set(answer["measurements"]) == {"chest_cm", "waist_cm", "hip_cm", "shoulder_cm", "inseam_cm"}
    assert format_of(folder.path / "measured.jpg") == "JPEG"
    readable = folder.run("estimate", PERSON, "--height", str(MAN_L.height_cm))
    assert f"Size {answer['recommended_size']}" in readable.stdout


def test_estimate_takes_two_photos_or_none(folder: Folder) -> None:
    done = folder.run("estimate", FRONT, "--side", SIDE, "--height", "162", "--annotate", "measured.jpg")
    assert done.returncode == 0, done.stderr
    assert "measured from photo, side photo, height" in done.stdout
    assert "next: Tell us your weight" in done.stdout
    assert format_of(folder.path / "measured.jpg") == format_of(folder.path / "measured-side.jpg") == "JPEG"
    bare = folder.run("estimate", "--height", "162", "--weight", "65", "--sex", "female", "--json")
    assert json.loads(bare.stdout)["measured_from"] == ["height", "weight", "sex"]


def test_the_demo_shows_the_whole_way(folder: Folder) -> None:
    done = folder.run("demo", "--out", "result.jpg")
    assert done.returncode == 0, done.stderr
    assert "session completed" in done.stderr
    assert f"Size     {MAN_L.size}" in done.stdout
    assert format_of(folder.path / "result.jpg") == "JPEG"
    left = {path.name for path in folder.path.iterdir()}
    assert left == {"result.jpg"}


@pytest.mark.parametrize("command", ["serve", "demo", "enqueue", "estimate"])
def test_help_has_an_example(folder: Folder, command: str) -> None:
    done = folder.run(command, "--help")
    assert done.returncode == 0
    assert f"Example: wearon {command}" in done.stdout
