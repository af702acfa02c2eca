"""Every setting of the worker, read once from the environment and `.env`. No other module reads the environment.

`load_settings` answers with complete, checked settings or raises `SettingsError`, which lists everything that is
wrong at once and never prints a value.
"""

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from wearon.net.origins import Origin
from wearon.net.tls import check_authorities
from wearon.redis.url import parse_redis_url
from wearon.resources.machine import MB, resources
from wearon.settings import env_file as env_files
from wearon.settings.access import AccessSettings, Key, access_problems
from wearon.settings.env_file import ENV_FILE
from wearon.settings.image_model import ImageSettings
from wearon.settings.supabase_keys import is_public
from wearon.settings.values import RetentionHours, Weight, Weights

PRODUCTION_NEEDS = {
    "redis_url": "where producers push tasks, such as rediss://default:<password>@<host>:6379",
    "supabase_url": "the project's URL, such as https://<project>.supabase.co",
    "supabase_service_role_key": "the service role key, from the project's API settings",
    "openai_api_key": "a key of the account that pays for the pictures",
}
"""Without these there is no production mode; the text is the hint that an operator gets."""

PRODUCTION_SIGNS = ("supabase_url", "supabase_service_role_key", "openai_api_key", "openai_base_url")
"""Where one of these is set, local mode would be an accident."""


PICTURE_PROCESS_BYTES = 512 * MB
"""35 MB while it is idle; the largest phone pictures take some 300 MB, and few come at the same time."""

POSE_PROCESS_BYTES = 384 * MB
"""250 MB, and 350 with a large picture in hand."""


class SettingsError(Exception):
    """Settings are missing or wrong; `problems` has one line for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(["The settings are not complete:", *(f"  - {p}" for p in self.problems)]))


class Mode(StrEnum):
    """Where sessions, credits and pictures live: the real platform, or a folder for trying the worker out."""

    LOCAL = "local"
    PRODUCTION = "production"


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _parse_origins(value: object) -> object:
    parts = _split_commas(value)
    if isinstance(parts, tuple):
        return tuple(part if isinstance(part, Origin) else Origin.parse(part) for part in parts)
    return parts


def _parse_browser_origins(value: object) -> object:
    """Read origins as browsers spell them, since they are compared as text; `*` is all of them."""
    parts = _split_commas(value)
    if isinstance(parts, tuple):
        return tuple(part if part == "*" else str(Origin.parse(part)) for part in parts)
    return parts


def _check_redis_url(value: str) -> str:
    parse_redis_url(value)
    return value


def _check_http_url(value: str) -> str:
    _origin_of(value)
    if "?" in value or "#" in value:
        raise ValueError("must have no query and no fragment")
    return value.rstrip("/")


def _origin_of(url: str) -> Origin:
    parts = urlsplit(url)
    return Origin.parse(f"{parts.scheme}://{parts.netloc}")


def _check_service_role_key(key: SecretStr) -> SecretStr:
    if is_public(key.get_secret_value()):
        raise ValueError(
            "is a public key (anon or publishable), from which row level security hides every session: use the service "
            "role or secret key, from the project's API settings"
        )
    return key


def _expand(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, but there is no such home folder") from None


def _check_folder(path: Path) -> Path:
    if path.is_file():
        raise ValueError("is a file where a folder is needed")
    return path


def _check_file(path: Path) -> Path:
    if path.is_dir():
        raise ValueError("is a folder where a file is needed")
    return path


def _check_authorities(file: Path) -> Path:
    check_authorities(file)
    return file


def _picture_processes() -> int:
    return resources().processes(PICTURE_PROCESS_BYTES)


def _pose_processes() -> int:
    return resources().processes(POSE_PROCESS_BYTES)


RedisUrl = Annotated[str, AfterValidator(_check_redis_url)]
ServiceRoleKey = Annotated[Key, AfterValidator(_check_service_role_key)]
HttpUrl = Annotated[str, AfterValidator(_check_http_url)]
Folder = Annotated[Path, AfterValidator(_expand), AfterValidator(_check_folder)]
File = Annotated[Path, AfterValidator(_expand), AfterValidator(_check_file)]
AuthorityFile = Annotated[File, AfterValidator(_check_authorities)]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_parse_origins)]
BrowserOrigins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_browser_origins)]


class Settings(ImageSettings, AccessSettings):
    """Field names are the variables' names in lower case; `.env.example` explains each for operators."""

    model_config = SettingsConfigDict(
        # "-sig": editors on Windows put a byte order mark in front.
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    # Mode and place
    wearon_mode: Mode = Mode.LOCAL
    wearon_home: Folder = Path(".wearon")
    spool_dir: Folder | None = None

    # TLS: authorities besides the public ones
    ca_file: AuthorityFile | None = None
    ssl_cert_file: AuthorityFile | None = None

    # Queue
    redis_url: RedisUrl | None = None
    local_redis_port: int = Field(default=6390, ge=0, le=65535)

    # Platform
    supabase_url: HttpUrl | None = None
    supabase_service_role_key: ServiceRoleKey | None = None

    # Image model
    openai_api_key: Key | None = None
    openai_base_url: HttpUrl = "https://api.openai.com/v1"
    openai_max_retries: int = Field(default=3, ge=0, le=20)
    openai_requests_per_minute: int = Field(default=300, ge=1, le=100_000)

    # Work
    worker_concurrency: int = Field(default=20, ge=1, le=1000)
    store_concurrency: int = Field(default=0, ge=0, le=100_000)
    store_daily_limit: int = Field(default=0, ge=0, le=10_000_000)
    b2c_weight: Weight = 10.0
    store_weights: Weights = Field(default_factory=dict)
    generation_deadline_s: float = Field(default=540.0, ge=10, le=3600)
    shutdown_grace_s: float = Field(default=25.0, ge=0, le=600)
    picture_processes: int = Field(default_factory=_picture_processes, ge=1, le=64)
    pose_processes: int = Field(default_factory=_pose_processes, ge=1, le=64)
    pose_model_path: File | None = None

    # HTTP
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    http_keep_alive_s: int = Field(default=75, ge=1, le=3600)
    cors_origins: BrowserOrigins = ()
    image_trusted_origins: Origins = ()

    # Metrics and traces
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    otel_exporter_otlp_traces_endpoint: HttpUrl | None = None
    otel_exporter_otlp_headers: SecretStr | None = None
    otel_service_name: str = "wearon"

    # History of sessions, for the console
    journal_hours: float = Field(default=24.0, ge=0, le=24 * 30)

    # Pictures older than this are deleted; None: never
    retention_hours: RetentionHours | None = None

    # Logs
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    @field_validator("redis_url")
    @classmethod
    def _name_authorities(cls, url: str | None, info: ValidationInfo) -> str | None:
        """Name the authorities in the URL, which goes to processes that have no settings. The URL's own ones win."""
        file = info.data.get("ca_file") or info.data.get("ssl_cert_file")
        parts = urlsplit(url or "")
        if url is None or file is None or parts.scheme != "rediss" or "ssl_ca_certs=" in parts.query:
            return url
        named = f"ssl_ca_certs={quote(str(file.absolute()))}"
        return urlunsplit(parts._replace(query=f"{parts.query}&{named}" if parts.query else named))

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_problems(cls, values: Any, handler: Any) -> "Settings":
        """Choose the mode, then report what is missing together with what is wrong."""
        values = dict(values)
        signs = [name for name in PRODUCTION_SIGNS if values.get(name)]
        if not values.get("wearon_mode") and signs:
            values["wearon_mode"] = Mode.PRODUCTION
        in_production = str(values.get("wearon_mode") or Mode.LOCAL) == Mode.PRODUCTION
        problems = _missing(values, signs) if in_production else []
        problems += access_problems(values, in_production=in_production)
        try:
            settings: Settings = handler(values)
        except ValidationError as error:
            raise SettingsError(problems + [_problem(details) for details in error.errors()]) from None
        if problems:
            raise SettingsError(problems)
        return settings

    @property
    def spool_folder(self) -> Path:
        """Where paid pictures wait until the platform has them."""
        return self.spool_dir or self.wearon_home / "spool"

    @property
    def supabase_origin(self) -> Origin | None:
        """Where the platform's pictures are; None without one."""
        return _origin_of(self.supabase_url) if self.supabase_url else None

    @property
    def trusted_origins(self) -> tuple[Origin, ...]:
        """Origins whose pictures may come from private addresses."""
        ours = self.supabase_origin
        return (ours, *self.image_trusted_origins) if ours else self.image_trusted_origins

    @property
    def authorities(self) -> Path | None:
        """Whose certificates Redis, Supabase, OpenAI and trusted origins may have, besides the public authorities'."""
        return self.ca_file or self.ssl_cert_file

    @property
    def traces_url(self) -> str | None:
        """Where spans are sent (OTLP over HTTP); None: nowhere."""
        if self.otel_exporter_otlp_traces_endpoint:
            return self.otel_exporter_otlp_traces_endpoint
        base = self.otel_exporter_otlp_endpoint
        return f"{base}/v1/traces" if base else None

    @property
    def traces_headers(self) -> Mapping[str, str]:
        """Headers of the requests with spans, read from `name=value,name=value`, values percent-encoded."""
        text = self.otel_exporter_otlp_headers.get_secret_value() if self.otel_exporter_otlp_headers else ""
        pairs = [pair.partition("=") for pair in text.split(",") if "=" in pair]
        return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values that must never be seen in a log."""
        tokens = (self.api_token, self.viewer_token, self.metrics_token, self.estimate_token)
        named = (self.supabase_service_role_key, self.openai_api_key, *tokens)
        found = [secret.get_secret_value() for secret in named if secret]
        found.extend(self.traces_headers.values())
        if self.redis_url and (password := urlsplit(self.redis_url).password):
            found += dict.fromkeys((password, unquote(password)))
        return tuple(found)


def _missing(values: Mapping[str, object], signs: Sequence[str]) -> list[str]:
    why = f"; {signs[0].upper()} is set, so this is production" if signs else ""
    return [
        f"{name.upper()} is missing: {hint}{why}" for name, hint in PRODUCTION_NEEDS.items() if not values.get(name)
    ]


def _problem(details: Mapping[str, Any]) -> str:
    name = str(details["loc"][0]).upper() if details["loc"] else "settings"
    return f"{name}: {details['msg'].removeprefix('Value error, ')}"


def load_settings(env_file: Path | None = ENV_FILE) -> Settings:
    """Read the environment and `.env`; raises SettingsError."""
    if env_file is not None and (problem := env_files.problem_with(env_file)):
        raise SettingsError([problem])
    return Settings(_env_file=env_file)


class _ReadableSettings(Settings):
    """Settings of which wrong ones count as not set, and none is required."""

    @model_validator(mode="wrap")
    @classmethod
    def _report_all_problems(cls, values: Any, handler: Any) -> "_ReadableSettings":
        values = dict(values)
        if str(values.get("wearon_mode") or "") not in set(Mode):
            values["wearon_mode"] = (
                Mode.PRODUCTION if any(values.get(name) for name in PRODUCTION_SIGNS) else Mode.LOCAL
            )
        try:
            settings: _ReadableSettings = handler(values)
        except ValidationError as error:
            wrong = {details["loc"][0] for details in error.errors() if details["loc"]}
            settings = handler({name: value for name, value in values.items() if name not in wrong})
        return settings


def inspect_settings() -> tuple[Settings, Sequence[str]]:
    """The settings as far as they can be read, and everything that is wrong with them. Only for looking into them:
    required ones may be absent.

    A `.env` lies in the current folder, and may come from anybody. What it could be used for to send
    secrets of the environment elsewhere counts as not set.
    """
    unsafe = foreign_uses()
    try:
        settings, problems = load_settings(), list[str]()
    except SettingsError as error:
        readable = None if env_files.problem_with(ENV_FILE) else ENV_FILE
        settings, problems = _ReadableSettings(_env_file=readable), list(error.problems)
    if unsafe:
        settings = _ReadableSettings(_env_file=ENV_FILE, **dict.fromkeys(unsafe))
    return settings, [*unsafe.values(), *problems]


def foreign_uses() -> dict[str, str]:
    """Settings by which `.env` would get at secrets of the environment, with what is wrong about each."""
    if env_files.problem_with(ENV_FILE):
        return {}
    uses = env_files.foreign_uses(ENV_FILE, [name for name, value in os.environ.items() if value])
    return {name: problem for name, problem in uses.items() if name in Settings.model_fields}
