"""Rules of the house that no linter knows, read off the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import wearon

SOURCE = Path(wearon.__file__).parent

LAYERS = {
    # A package or module, and what of wearon it may import at most (besides itself and what stands in FLOOR).
    "tryon": {"platform", "pose", "pictures", "net"},
    "sizing": {"pose", "pictures"},
    "platform": {"net"},
    "pose": {"pictures"},
    "pictures": set(),
    "net": set(),
    "overview": {"tryon", "platform", "pose", "supervisor"},
    "api": {
        "overview",
        "tryon",
        "sizing",
        "platform",
        "pose",
        "pictures",
        "net",
        "supervisor",
        "local_url",
        "samples",
        "descriptors",
    },
    "samples": set(),
    "supabase_keys": set(),
    "settings": {"net", "machine", "env_file", "supabase_keys", "image_settings"},
    "image_settings": {"tryon"},
    "machine": set(),
    "env_file": set(),
    "logs": set(),
    "metrics": set(),
    "descriptors": {"net"},
    "dependencies": set(),
    "tracing": set(),
    "redis": set(),
    "redis_connection": set(),
    "redis_errors": set(),
    "redis_url": set(),
    "redis_watch": set(),
    "local_redis": {"redis_binary"},
    "redis_binary": set(),
    "local_url": set(),
    "child_answers": set(),
    "child_process": {"heap"},
    "heap": set(),
    "shortage": set(),
    "stop_signals": set(),
    "supervisor": set(),
    "visible": set(),
    "errand": set(),
    "fair_slots": set(),
}
FLOOR = {
    "child_answers",
    "child_process",
    "shortage",
    "dependencies",
    "redis",
    "redis_connection",
    "redis_errors",
    "redis_url",
    "redis_watch",
    "metrics",
    "tracing",
    "logs",
    "stop_signals",
    "visible",
    "errand",
    "fair_slots",
}

ABOVE = {"cli", "serve", "worker", "assembly", "image_model", "doctor", "__main__", "__init__"}
"""These put everything together and may import what they like; nobody below may import them."""


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        top = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        yield top, path, ast.parse(path.read_text())


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
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
    imported = {name for top, _, tree in modules() if top == "image_settings" for name in imports_of(tree)}
    assert {name for name in imported if name.startswith("wearon.tryon") and name.count(".") == 2} == {
        "wearon.tryon.openai_models"
    }
    table = next(tree for _, path, tree in modules() if path.name == "openai_models.py")
    assert not wearons_in(table)


@pytest.mark.parametrize(("top", "path", "tree"), list(modules()), ids=lambda value: getattr(value, "name", ""))
def test_dependencies_point_one_way(top: str, path: Path, tree: ast.Module) -> None:
    if top in ABOVE:
        return
    assert wearons_in(tree) - LAYERS[top] - FLOOR - {top} == set(), path


def test_only_the_job_queues_modules_know_arq() -> None:
    knowing = {path.name for _, path, tree in modules() if any(n.split(".")[0] == "arq" for n in imports_of(tree))}
    assert knowing == {"job_worker.py"}


def test_only_the_network_modules_know_what_carries_http() -> None:
    below = {"aiohttp", "httpcore"}
    knowing = {path.parent.name for _, path, tree in modules() if below & {n.split(".")[0] for n in imports_of(tree)}}
    assert knowing == {"net"}


def test_only_the_settings_read_the_environment() -> None:
    reading = {
        path.relative_to(SOURCE).as_posix()
        for _, path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    }
    # The demo hands its own environment on to the worker that it starts; a child process gets the harmless part of it.
    assert reading <= {"settings.py", "cli/demo.py", "child_process.py"}


def test_nothing_can_unpickle_what_redis_holds() -> None:
    # Our own processes are talked to in it, over sockets that nobody else can reach.
    assert [path.name for _, path, tree in modules() if "pickle" in set(imports_of(tree))] == ["child_process.py"]


def test_commands_speak_through_one_module() -> None:
    """`cli/output.py` sees to it that nothing in their texts is markup, or obeyed by a terminal."""
    past_it = [
        f"{path.name}: {ast.unparse(node)}"
        for top, path, tree in modules()
        if top == "cli" and path.name != "output.py"
        for node in ast.walk(tree)
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
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("re.")
        and ast.unparse(node.func) not in {"re.compile", "re.escape"}
    ]
    assert elsewhere == []
    inside = [
        f"{path.name}: {ast.unparse(call)}"
        for _, path, tree in modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "re.compile"
    ]
    assert inside == []
