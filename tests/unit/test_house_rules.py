"""Rules of the house that no linter knows, read off the source."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import wearon

SOURCE = Path(wearon.__file__).parent

LONGEST_FUNCTION, LONGEST_MODULE = 50, 400
"""Lines."""

LAYERS = {
    # A package or module, and what of wearon it may import at most (besides itself and what stands in FLOOR).
    "api": {
        "feedback",
        "shop_charts",
        "operations",
        "queue",
        "sizing",
        "platform",
        "local",
        "pose",
        "pictures",
        "net",
        "samples",
    },
    "operations": {"tryon", "refunds", "queue", "platform", "pose"},
    "local": {"tryon", "queue", "platform", "pose", "pictures"},
    "tryon": {"refunds", "queue", "platform", "pictures", "net"},
    "refunds": {"queue", "platform"},
    "queue": {"platform"},
    "chart_files": {"sizing"},
    "feedback": {"queue", "sizing"},
    "shop_charts": {"queue", "sizing"},
    "sizing": {"pose", "pictures"},
    "platform": {"net"},
    "pose": set(),
    "pictures": set(),
    "net": set(),
    "settings": {"net", "queue", "tryon"},
    "samples": set(),
}
FLOOR: dict[str, set[str]] = {
    # What all others may import, and what of each other these may.
    "processes": {"dependencies"},
    "redis": {"dependencies"},
    "dependencies": set(),
    "events": set(),
    "metrics": {"dependencies"},
    "observability": set(),
    "resources": set(),
    "signals": set(),
    "supervisor": set(),
}

ABOVE = {"app", "cli", "doctor", "worker", "__main__", "__init__"}
"""These put everything together and may import what they like; nobody below may import them."""


@cache
def modules() -> Sequence[tuple[str, Path, ast.Module]]:
    found = sorted(SOURCE.rglob("*.py"))
    return [
        (path.relative_to(SOURCE).parts[0].removesuffix(".py"), path, ast.parse(path.read_text())) for path in found
    ]


@cache
def nodes_of(tree: ast.Module) -> Sequence[ast.AST]:
    return list(ast.walk(tree))


@cache
def imports_of(tree: ast.Module) -> Sequence[str]:
    return list(_imports_of(tree))


def _imports_of(tree: ast.Module) -> Iterator[str]:
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wearons_in(tree: ast.Module) -> set[str]:
    names = {name.split(".")[1] for name in imports_of(tree) if name.startswith("wearon.")}
    known = {path.name.removesuffix(".py") for path in SOURCE.iterdir()}
    return names & known


def test_the_settings_know_the_image_models_and_nothing_else_of_tryon() -> None:
    imported = {
        name
        for top, path, tree in modules()
        if path.name == "image_model.py" and top == "settings"
        for name in imports_of(tree)
    }
    assert {name for name in imported if name.startswith("wearon.tryon") and name.count(".") == 3} == {
        "wearon.tryon.openai.models"
    }
    table = next(tree for _, path, tree in modules() if path.match("openai/models.py"))
    assert not wearons_in(table)


def test_dependencies_point_one_way() -> None:
    wrong = {}
    for top, path, tree in modules():
        if top not in ABOVE:
            allowed = FLOOR[top] if top in FLOOR else LAYERS[top] | FLOOR.keys()
            wrong[path] = wearons_in(tree) - allowed - {top}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_no_package_may_import_what_it_does_not() -> None:
    used: dict[str, set[str]] = {name: set() for name in LAYERS}
    for top, _, tree in modules():
        if top in used:
            used[top] |= wearons_in(tree)
    assert {name: allowed - used[name] for name, allowed in LAYERS.items() if allowed - used[name]} == {}


WITHIN = {
    # A package, and what each of its modules may import of the others.
    "queue": {
        "keys": set(),
        "tenants": set(),
        "audit_log": {"keys"},
        "pauses": {"keys"},
        "limits": {"tenants"},
        "task": set(),
        "redis_rights": {"keys"},
        "rate_limiter": {"keys"},
        "dead_letters": {"keys"},
        "pending": {"dead_letters", "keys", "task"},
        "jobs": {"dead_letters", "keys", "limits"},
        "job_document": {"jobs", "task"},
        "newer_jobs": set(),
        "held_jobs": {"jobs", "keys"},
        "lease_renewal": {"keys"},
        "lease_keeper": {"lease_renewal"},
        "worker_files": set(),
        "lease": {"held_jobs", "keys", "lease_keeper", "pauses", "worker_files"},
        "worker": {"held_jobs", "job_document", "jobs", "keys", "lease", "limits", "newer_jobs", "pauses", "task"},
        "consumer": {"dead_letters", "job_document", "jobs", "keys", "lease", "pending", "task", "worker"},
        "arq_command_line": {"jobs", "keys", "worker"},
        "__init__": set(),
    },
    "refunds": {
        "intents": set(),
        "rules": set(),
        "store": {"intents"},
        "outbox": {"intents", "rules", "store"},
        "__init__": set(),
    },
    "tryon": {
        "image_model": set(),
        "garments": set(),
        "input_images": {"garments"},
        "causes": {"image_model", "input_images"},
        "spool": {"image_model"},
        "retry_policy": {"image_model", "input_images"},
        "run": {"image_model", "input_images", "retry_policy"},
        "sessions": {"image_model", "retry_policy", "run"},
        "deliveries": {"image_model", "retry_policy", "run", "sessions", "spool"},
        "rejections": {"retry_policy", "run", "sessions"},
        "pipeline": {
            "causes",
            "deliveries",
            "image_model",
            "input_images",
            "rejections",
            "retry_policy",
            "run",
            "sessions",
            "spool",
        },
        "fleet_breaker": {"retry_policy", "run"},
        "reconciler": {"retry_policy", "spool"},
        "__init__": set(),
    },
    "operations": {
        "readable": set(),
        "incident_model": set(),
        "models": {"incident_model", "readable"},
        "reasons": {"models"},
        "entries": {"readable"},
        "words": set(),
        "counters": {"models"},
        "refund_history": {"models", "words"},
        "time_line": {"entries", "models"},
        "live_view": set(),
        "job_metrics": set(),
        "report": {"live_view", "models"},
        "snapshot": {"counters", "models", "readable"},
        "incident_memory": {"incident_model", "readable"},
        "incident_keeper": {"incident_memory", "incident_model", "models", "report", "status"},
        "status": {"counters", "incident_memory", "models", "report", "snapshot"},
        "session_index": set(),
        "history": {"counters", "entries", "session_index"},
        "location": {"entries", "models", "words"},
        "session_history": {
            "entries",
            "history",
            "location",
            "models",
            "reasons",
            "refund_history",
            "status",
            "time_line",
        },
        "session_search": {"models", "session_history", "session_index", "status", "waiting_sessions"},
        "waiting_sessions": {"session_index"},
        "dead_letter_groups": {"models", "reasons"},
        "refund_groups": set(),
        "__init__": set(),
    },
    "operations/actions": {
        "errors": set(),
        "dead_letters": {"errors"},
        "refunds": {"errors"},
        "cancel": {"errors"},
        "pause": {"errors"},
        "__init__": set(),
    },
}

PURE = {
    f"operations/{name}"
    for name in (
        "audit/books",
        "audit/rules",
        "incident_memory",
        "dead_letter_groups",
        "incident_model",
        "incidents/*",
        "models",
        "readable",
        "reasons",
        "retention/rounds",
        "refund_groups",
        "refund_history",
        "time_line",
    )
}
IO = {"asyncio", "httpx", "os", "pathlib", "redis", "socket", "structlog", "time"}


@pytest.mark.parametrize(("package", "rows"), WITHIN.items())
def test_dependencies_point_one_way_within_a_package_too(package: str, rows: dict[str, set[str]]) -> None:
    found = {path.stem: tree for _, path, tree in modules() if path.parent == SOURCE / package}
    assert set(found) == set(rows)
    prefix = f"wearon.{package.replace('/', '.')}."
    for module, tree in found.items():
        names = (name for name in imports_of(tree) if name.startswith(prefix))
        siblings = {name.removeprefix(prefix).split(".")[0] for name in names}
        assert siblings & set(rows) - rows[module] == set(), module


def test_rules_do_no_io() -> None:
    """What is wrong, what happened and what is owed is decided from values, so that a test can name every case."""
    doing = {
        f"{path.name}: {name}"
        for _, path, tree in modules()
        if any(path.match(f"{pattern}.py") for pattern in PURE)
        for name in imports_of(tree)
        if name.split(".")[0] in IO
    }
    assert doing == set()


def test_one_module_knows_arq() -> None:
    knowing = {
        path.relative_to(SOURCE).as_posix()
        for _, path, tree in modules()
        if any(n.split(".")[0] == "arq" for n in imports_of(tree))
    }
    assert knowing == {"queue/arq_command_line.py"}


def test_only_the_routes_of_local_mode_know_it() -> None:
    knowing = {
        path.relative_to(SOURCE).as_posix()
        for top, path, tree in modules()
        if "local" in wearons_in(tree) and top not in {"local", *ABOVE}
    }
    assert knowing == {"api/dependencies.py", "api/files.py", "api/console/studios.py"}


def test_only_opentelemetrys_module_knows_its_sdk() -> None:
    knowing = {
        path.relative_to(SOURCE).as_posix()
        for _, path, tree in modules()
        if any(name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")) for name in imports_of(tree))
    }
    assert knowing == {"observability/otel.py"}


def test_only_the_network_modules_know_what_carries_http() -> None:
    below = {"aiohttp", "httpcore"}
    knowing = {path.parent.name for _, path, tree in modules() if below & {n.split(".")[0] for n in imports_of(tree)}}
    assert knowing == {"net"}


def test_only_the_settings_read_the_environment() -> None:
    reading = {
        path.relative_to(SOURCE).as_posix()
        for _, path, tree in modules()
        for node in nodes_of(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    # The demo hands its own environment on to the worker that it starts; a child process gets the harmless part of it.
    assert reading <= {"settings/settings.py", "settings/misspelt.py", "cli/demo.py", "processes/child.py"}


def test_nothing_can_unpickle_what_redis_holds() -> None:
    # Our own processes are talked to in it, over sockets that nobody else can reach.
    knowing = {path.relative_to(SOURCE).as_posix() for _, path, tree in modules() if "pickle" in set(imports_of(tree))}
    assert knowing == {"processes/child.py"}


def test_a_function_fits_a_screen_and_a_module_eight() -> None:
    functions = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for _, path, tree in modules()
        for node in nodes_of(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert functions == []
    assert [path for _, path, _ in modules() if path.read_text().count("\n") > LONGEST_MODULE] == []


def test_commands_speak_through_one_module() -> None:
    """`cli/output.py` sees to it that nothing in their texts is markup, or obeyed by a terminal."""
    past_it = [
        f"{path.name}: {ast.unparse(node)}"
        for top, path, tree in modules()
        if top == "cli" and path.name != "output.py"
        for node in nodes_of(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"print", "typer.echo", "typer.secho", "typer.confirm", "typer.prompt", "Console"}
    ]
    assert past_it == []
    assert not [path for _, path, tree in modules() if path.name != "output.py" and "rich.markup" in imports_of(tree)]


def test_every_pattern_is_compiled_where_a_test_finds_it() -> None:
    """`tests/unit/test_patterns.py` feeds each module's patterns their worst."""
    elsewhere = [
        f"{path.name}: {ast.unparse(node)}"
        for _, path, tree in modules()
        for node in nodes_of(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("re.")
        and ast.unparse(node.func) not in {"re.compile", "re.escape"}
    ]
    assert elsewhere == []
    inside = [
        f"{path.name}: {ast.unparse(call)}"
        for _, path, tree in modules()
        for function in nodes_of(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "re.compile"
    ]
    assert inside == []
