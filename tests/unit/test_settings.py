"""Which mode a set of variables means, and how what is wrong with it is told."""

import base64
import json
import os
from pathlib import Path

import pytest
import trustme

from wearon.net.origins import Origin
from wearon.settings import (
    PRODUCTION_NEEDS,
    Mode,
    Settings,
    SettingsError,
    foreign_uses,
    inspect_settings,
    load_settings,
    misspelt,
)
from wearon.settings.env_file import SENT_TO

PRODUCTION = {
    "REDIS_URL": "rediss://default:redis-password@queue.example.com:6379",
    "SUPABASE_URL": "https://project.supabase.co/",
    "SUPABASE_SERVICE_ROLE_KEY": "service-role-key",
    "OPENAI_API_KEY": "sk-openai-key",
}

STORE, OTHER_STORE = "0b1f6c1e-6f0e-4c52-9d43-6a1d6c9d1f11", "7d3c0a94-2f5b-4c0e-8a51-0c8f9f3b2e66"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def problems(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(monkeypatch, **variables)
    return str(refused.value)


def test_nothing_set_is_local_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch).wearon_mode is Mode.LOCAL


def test_everything_set_is_production_without_saying_so(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert settings.wearon_mode is Mode.PRODUCTION
    assert settings.supabase_url == "https://project.supabase.co"
    assert settings.openai_requests_per_minute == 300
    assert settings.openai_max_retries == 3
    assert settings.port == 8000


def test_local_can_be_asked_for_although_keys_lie_around(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **PRODUCTION, WEARON_MODE="local").wearon_mode is Mode.LOCAL


@pytest.mark.parametrize("only", ["SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "OPENAI_API_KEY"])
def test_some_of_production_is_never_taken_for_local(monkeypatch: pytest.MonkeyPatch, only: str) -> None:
    told = problems(monkeypatch, **{only: PRODUCTION[only]})
    for name in PRODUCTION_NEEDS:
        assert (f"{name.upper()} is missing" in told) == (name.upper() != only)
    assert f"{only} is set, so this is production" in told


def test_an_empty_value_is_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OPENAI_API_KEY is missing" in problems(monkeypatch, **{**PRODUCTION, "OPENAI_API_KEY": ""})


def test_all_problems_are_told_at_once_and_no_value_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problems(
        monkeypatch,
        WEARON_MODE="production",
        REDIS_URL="http://user:pw-secret@host",
        OPENAI_API_KEY="sk-secret",
        OPENAI_MAX_RETRIES="many",
        PORT="99999",
        IMAGE_TRUSTED_ORIGINS="https://good.example.com,ftp://secret.example.com",
    )
    for name in ("REDIS_URL", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "OPENAI_MAX_RETRIES", "PORT"):
        assert f"- {name}" in told
    assert "- IMAGE_TRUSTED_ORIGINS" in told
    assert "secret" not in told


def test_a_dotenv_file_counts_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=8100\nOPENAI_MAX_RETRIES=1\nSOMETHING_ELSE=x\n")
    settings = load(monkeypatch, PORT="8200")
    assert (settings.port, settings.openai_max_retries) == (8200, 1)


def test_supabase_is_trusted_in_production_and_further_origins_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION, IMAGE_TRUSTED_ORIGINS=" http://minio:9000 , https://cdn.example.com ")
    assert set(settings.trusted_origins) == {
        Origin.parse("https://project.supabase.co"),
        Origin.parse("http://minio:9000"),
        Origin.parse("https://cdn.example.com"),
    }


def test_of_a_platform_below_a_path_the_origin_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION | {"SUPABASE_URL": "https://gate.example/supabase/"})
    assert settings.supabase_url == "https://gate.example/supabase"
    assert settings.trusted_origins == (Origin.parse("https://gate.example"),)


def test_browsers_origins_are_spelt_as_browsers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, CORS_ORIGINS="https://Shop.example/, http://localhost:3000,*")
    assert settings.cors_origins == ("https://shop.example", "http://localhost:3000", "*")
    with pytest.raises(SettingsError, match="CORS_ORIGINS"):
        load(monkeypatch, CORS_ORIGINS="shop.example")


def test_the_platforms_origin_is_trusted_in_local_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, WEARON_MODE="local", SUPABASE_URL="http://10.0.0.7:54321")
    assert settings.trusted_origins == (Origin.parse("http://10.0.0.7:54321"),)


@pytest.mark.parametrize("name", ["SUPABASE_SERVICE_ROLE_KEY", "OPENAI_API_KEY", "API_TOKEN"])
def test_a_key_is_taken_without_the_line_end_that_it_was_copied_with(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    settings = load(monkeypatch, **PRODUCTION | {name: " the-key-0123456789\n"})
    assert "the-key-0123456789" in settings.secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_API_KEY", "sk-half other-half"),
        ("SUPABASE_SERVICE_ROLE_KEY", "ey\u0430"),
        ("API_TOKEN", "to\nken"),
        ("API_TOKEN", " "),
        ("SUPABASE_URL", "https://project.supabase.co?key=half-other"),
        ("OPENAI_BASE_URL", "https://api.example/v1#half-other"),
        ("REDIS_URL", "redis://host:half-other"),
        ("REDIS_URL", "redis://:half/other@host:6379"),
        ("REDIS_URL", "redis://host:99999"),
    ],
)
def test_what_would_only_fail_later_is_said_at_once_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError) as error:
        load(monkeypatch, **PRODUCTION | {name: value})
    (problem,) = error.value.problems
    assert problem.startswith(f"{name}: ")
    assert "other" not in problem


def test_turns_and_limits_of_stores_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = f" {STORE.upper()} = 3 , {OTHER_STORE}=0.5,"
    settings = load(
        monkeypatch, B2C_WEIGHT="2.5", STORE_WEIGHTS=weights, STORE_CONCURRENCY="4", STORE_DAILY_LIMIT="500"
    )
    assert (settings.b2c_weight, settings.store_weights) == (2.5, {STORE: 3.0, OTHER_STORE: 0.5})
    assert (settings.store_concurrency, settings.store_daily_limit) == (4, 500)


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("B2C_WEIGHT", ""),
        ("STORE_WEIGHTS", f"{STORE}=1,{OTHER_STORE}="),
        ("STORE_CONCURRENCY", ""),
        ("STORE_DAILY_LIMIT", ""),
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e-9", "1e9", "1e999", "half-other", "1" * 5000])
def test_a_weight_or_limit_out_of_bounds_is_one_problem(
    monkeypatch: pytest.MonkeyPatch, name: str, before: str, value: str
) -> None:
    told = problems(monkeypatch, **{name: before + value})
    assert told.count("\n") == 1
    assert f"- {name}: " in told
    assert len(told) < 200
    assert "other" not in told


@pytest.mark.parametrize("value", [STORE, f"{STORE}=", "=3", "half-other=3", f"b2b:{STORE}=3", f"{STORE}=3=4", "b2c=3"])
def test_weights_that_name_no_store_or_no_number_are_one_problem(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    told = problems(monkeypatch, STORE_WEIGHTS=value)
    assert told.count("\n") == 1
    assert "- STORE_WEIGHTS: " in told
    assert "other" not in told


def test_a_store_that_is_named_twice_is_one_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problems(monkeypatch, STORE_WEIGHTS=f"{STORE}=2,{OTHER_STORE}=1,{STORE.upper()}=3")
    assert told.count("\n") == 1
    assert f"- STORE_WEIGHTS: names {STORE} twice, in places 1 and 3: " in told


@pytest.mark.parametrize(("value", "hours"), [("", None), ("6", 6.0), ("24.5", 24.5)])
def test_how_long_pictures_are_kept_is_read(monkeypatch: pytest.MonkeyPatch, value: str, hours: float | None) -> None:
    assert load(monkeypatch, RETENTION_HOURS=value).retention_hours == hours


@pytest.mark.parametrize("value", ["0", "5.9", "-1", "nan", "inf", "1e9", "half-other"])
def test_pictures_are_not_deleted_while_their_links_are_valid(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    told = problems(monkeypatch, RETENTION_HOURS=value)
    assert told.count("\n") == 1
    assert "- RETENTION_HOURS: " in told
    assert value != "5.9" or "must be 6 or more: for so long the link to a result is valid" in told


def key_of(role: str) -> str:
    """As Supabase makes them, with a signature of nobody's."""
    claims = base64.urlsafe_b64encode(json.dumps({"role": role, "iss": "supabase"}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJl"


@pytest.mark.parametrize("key", [key_of("anon"), key_of("authenticated"), "sb_publishable_abcdefgh", "sb_publishable_"])
def test_a_key_for_browsers_is_refused_like_a_missing_one(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(monkeypatch, **PRODUCTION | {"SUPABASE_SERVICE_ROLE_KEY": f"{key}\n"})
    (problem,) = error.value.problems
    assert problem.startswith("SUPABASE_SERVICE_ROLE_KEY: is a public key")
    assert key[:20] not in problem


@pytest.mark.parametrize(
    "key", [key_of("service_role"), key_of("my_worker"), "sb_secret_abcdefgh", "a.b.c", "eyJ.e30.x"]
)
def test_other_keys_are_taken(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    assert key in load(monkeypatch, **PRODUCTION | {"SUPABASE_SERVICE_ROLE_KEY": key}).secrets


TOKENS = ["API_TOKEN", "VIEWER_TOKEN", "METRICS_TOKEN", "ESTIMATE_TOKEN"]


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize(
    ("token", "mode", "taken"),
    [("a", "production", False), ("t" * 15, "production", False), ("t" * 16, "production", True), ("a", "local", True)],
)
def test_production_takes_no_token_that_can_be_guessed(
    monkeypatch: pytest.MonkeyPatch, name: str, token: str, mode: str, taken: bool
) -> None:
    for variable, value in {**PRODUCTION, "WEARON_MODE": mode, name: f" {token}\n"}.items():
        monkeypatch.setenv(variable, value)
    told = inspect_settings()[1]
    assert (list(told) == []) == taken
    assert all(problem.startswith(f"{name} has fewer than 16") for problem in told)


def test_everything_that_is_wrong_with_the_tokens_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    same = "hidden-" * 4
    with pytest.raises(SettingsError) as error:
        load(
            monkeypatch,
            **PRODUCTION | {"REDIS_URL": ""},
            PORT="many",
            VIEWER_TOKEN=same,
            METRICS_TOKEN=f"{same}\n",
            ESTIMATE_ACCESS="token",
        )
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "REDIS_URL is missing",
        "VIEWER_TOKEN and METRICS_TOKEN are the same",
        "ESTIMATE_ACCESS=token lets nobody ask for sizes",
        "PORT",
    ]
    assert "hidden" not in str(error.value)


def test_tokens_must_differ_in_local_mode_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problems(monkeypatch, **dict.fromkeys(TOKENS, "t"))
    assert told.count(" are the same: ") == 6


@pytest.mark.parametrize(("secret", "address"), SENT_TO)
def test_a_secret_of_the_environment_does_not_go_where_a_foreign_folder_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str, address: str
) -> None:
    (tmp_path / ".env").write_text(f"{address}=http://203.0.113.5/v1\n")
    monkeypatch.setenv(secret.upper(), "name=the-secret")
    settings, told = inspect_settings()
    assert getattr(settings, secret) is None
    assert any(secret.upper() in problem and address.upper() in problem for problem in told)
    assert not any("the-secret" in problem for problem in told)


@pytest.mark.parametrize(
    "value",
    ["redis://:${OPENAI_API_KEY}@203.0.113.5:6379", "redis://203.0.113.5/${NOTHING:-x}${OPENAI_API_KEY:-y}"],
)
def test_a_foreign_folder_cannot_have_the_environment_filled_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    (tmp_path / ".env").write_text(f'REDIS_URL="{value}"\nOTHER_PROGRAM=${{HOME}}\n')
    monkeypatch.setenv("OPENAI_API_KEY", "the-secret")
    settings, told = inspect_settings()
    assert settings.redis_url is None
    assert any(problem.startswith("REDIS_URL ") for problem in told)
    assert "the-secret" not in repr(told)


def test_what_lies_in_one_place_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-1\nOPENAI_BASE_URL=http://gateway/v1\nSUPABASE_URL=http://x\n")
    assert foreign_uses() == {}
    # The environment wins over the file, so these are of one place, and a folder's own secret may go anywhere.
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://ours/v1")
    assert foreign_uses() == {}
    settings, told = inspect_settings()
    assert (settings.openai_base_url, told) == ("http://ours/v1", [])


def test_a_password_is_secret_in_both_its_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, REDIS_URL="redis://:pass%21word@host:6379")
    assert {"pass%21word", "pass!word"} <= set(settings.secrets)


def test_secrets_are_known_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {name: f"{name.lower()}-0123456789" for name in TOKENS}
    settings = load(monkeypatch, **PRODUCTION, **tokens)
    assert set(settings.secrets) == {"redis-password", "service-role-key", "sk-openai-key", *tokens.values()}
    shown = repr(settings)
    assert not any(secret in shown for secret in ("service-role-key", "sk-openai-key", *tokens.values()))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_dotenv_file_that_is_not_utf_8_is_a_sentence_without_its_content(encoding: str) -> None:
    Path(".env").write_bytes("# clé\nOPENAI_API_KEY=sk-secret\n".encode(encoding))
    settings, problems = inspect_settings()
    assert settings.wearon_mode is Mode.LOCAL
    (problem,) = problems
    assert ".env is not UTF-8 text" in problem
    assert "secret" not in problem
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load_settings()


def test_a_byte_order_mark_before_utf_8_is_no_part_of_the_first_name() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfPORT=8100\r\n")
    assert load_settings().port == 8100


def test_a_folder_in_the_place_of_the_dotenv_file_is_told() -> None:
    Path(".env").mkdir()
    with pytest.raises(SettingsError, match=r"\.env is a folder"):
        load_settings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_dotenv_file_that_may_not_be_read_is_told() -> None:
    Path(".env").write_text("PORT=8100\n")
    Path(".env").chmod(0)
    with pytest.raises(SettingsError, match=r"\.env cannot be read: Permission denied"):
        load_settings()


def test_the_home_folder_is_meant_by_a_tilde_in_every_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    paths = {"WEARON_HOME": "data", "SPOOL_DIR": "spool", "POSE_MODEL_PATH": "pose.task", "CA_FILE": "ca.pem"}
    settings = load(monkeypatch, HOME=str(tmp_path), **{name: f"~/{path}" for name, path in paths.items()})
    assert {name: getattr(settings, name.lower()) for name in paths} == {
        name: tmp_path / path for name, path in paths.items()
    }


def test_a_tilde_without_a_home_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "WEARON_HOME: begins with ~" in problems(monkeypatch, WEARON_HOME="~nobody-of-that-name/data")


def test_a_folder_for_a_file_and_a_file_for_a_folder_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("folder").mkdir()
    Path("file").touch()
    told = problems(
        monkeypatch, WEARON_HOME="file", SPOOL_DIR="file", POSE_MODEL_PATH="folder", CA_FILE="folder", SSL_CERT_FILE="."
    )
    for name, sentence in {
        "WEARON_HOME": "is a file",
        "SPOOL_DIR": "is a file",
        "POSE_MODEL_PATH": "is a folder",
        "CA_FILE": "is a folder",
        "SSL_CERT_FILE": "is a folder",
    }.items():
        assert f"{name}: {sentence}" in told


@pytest.mark.parametrize("name", ["CA_FILE", "SSL_CERT_FILE"])
def test_authorities_that_cannot_be_had_are_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert f"{name}: cannot be read: No such file" in problems(monkeypatch, **{name: "missing.pem"})
    Path("empty.pem").write_text("no certificate in here, but a secret\n")
    told = problems(monkeypatch, **{name: "empty.pem"})
    assert f"{name}: holds no certificate" in told
    assert "secret" not in told


# Names

MISSPELT = {
    "WORKER_CONCURENCY": "WORKER_CONCURRENCY",
    "redis_uri": "REDIS_URL",
    "OPENAI_KEY": "OPENAI_API_KEY",
    "SUPABASE_SERVICE_KEY": "SUPABASE_SERVICE_ROLE_KEY",
    "CORS_ORIGIN": "CORS_ORIGINS",
    "LOGLEVEL": "LOG_LEVEL",
}


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
def test_a_variable_that_looks_like_a_setting_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "the-secret")
    assert misspelt()[name] == meant
    monkeypatch.delenv(name)
    assert name not in misspelt()
    Path(".env").write_text(f"{name}=the-secret\n")
    assert misspelt()[name] == meant


@pytest.mark.parametrize(
    "name",
    [
        "SSL_CERT_DIR",
        "HOSTNAME",
        "SUPABASE_ANON_KEY",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "WEARON_PORT",
        "A" * 10**5,
    ],
)
def test_a_variable_of_another_program_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert name not in misspelt()


def test_beside_the_setting_itself_the_variable_may_be_another_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URI", "redis://other")
    monkeypatch.setenv("REDIS_URL", "redis://ours")
    assert "REDIS_URI" not in misspelt()


# Image models


def test_the_default_model_lives_and_has_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert settings.image_models == ("gpt-image-2.6-sunburst", "gpt-image-2.6-flare", "gpt-image-2")
    assert settings.settings_not_sent == []


@pytest.mark.parametrize(
    ("value", "models"),
    [
        ("", ("gpt-image-2.6-sunburst",)),
        (" , ", ("gpt-image-2.6-sunburst",)),
        ("mine, gpt-image-2.6-sunburst,mine", ("gpt-image-2.6-sunburst", "mine")),
    ],
)
def test_fallback_models_are_a_list_that_may_be_empty(
    monkeypatch: pytest.MonkeyPatch, value: str, models: tuple[str, ...]
) -> None:
    assert load(monkeypatch, **PRODUCTION, OPENAI_FALLBACK_MODELS=value).image_models == models


def test_no_fallback_models_can_be_said_in_the_file_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("OPENAI_FALLBACK_MODELS=\n")
    assert load(monkeypatch, **PRODUCTION).image_models == ("gpt-image-2.6-sunburst",)
    assert load(monkeypatch, OPENAI_FALLBACK_MODELS="mine").image_models[1:] == ("mine",)
    (tmp_path / ".env").write_text("OPENAI_FALLBACK_MODELS=another\n")
    assert load(monkeypatch, OPENAI_FALLBACK_MODELS="").image_models[1:] == ()


def test_a_size_that_the_model_does_not_take_is_listed_with_the_other_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    told = problems(monkeypatch, **PRODUCTION, OPENAI_IMAGE_SIZE="1000x1500", OPENAI_IMAGE_QUALITY="best", PORT="none")
    assert "OPENAI_IMAGE_SIZE: gpt-image-2.6-sunburst takes sizes with edges that are multiples of 16" in told
    assert "OPENAI_IMAGE_QUALITY" in told
    assert "PORT" in told
    assert "OPENAI_IMAGE_SIZE: must be photo or like" in problems(monkeypatch, OPENAI_IMAGE_SIZE="auto")
    monkeypatch.setenv("OPENAI_MODEL", "gpt-image-1.5")
    assert "takes 1024x1024, 1536x1024, 1024x1536" in problems(monkeypatch, OPENAI_IMAGE_SIZE="1152x864")


def test_a_size_of_a_model_that_is_not_known_is_its_servers_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION, OPENAI_MODEL="flux", OPENAI_IMAGE_SIZE="512x512")
    assert settings.wanted_picture.size == "512x512"
    assert settings.settings_not_sent == [], "the quality is a default, and nobody's wish"


def test_settings_that_the_model_does_not_take_are_told_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        **PRODUCTION,
        OPENAI_MODEL="gpt-image-2",
        OPENAI_IMAGE_QUALITY="max",
        OPENAI_INPUT_FIDELITY="high",
        OPENAI_IMAGE_COMPLEXITY="low",
    )
    assert [found.words for found in settings.settings_not_sent] == [
        "OPENAI_IMAGE_QUALITY=max: gpt-image-2 takes low, medium, high, auto; high is sent instead",
        "OPENAI_INPUT_FIDELITY=high: gpt-image-2 takes no such setting; it is not sent",
        "OPENAI_IMAGE_COMPLEXITY=low: gpt-image-2 takes no such setting; it is not sent",
    ]


@pytest.mark.parametrize("name", ["two words", "naïve", "x" * 101, "line\nbreak"])
def test_a_model_name_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert "OPENAI_MODEL: must be the name of a model" in problems(monkeypatch, **PRODUCTION, OPENAI_MODEL=name)
