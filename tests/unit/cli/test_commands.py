"""What all commands share: help with an example that works, a light start, completion, a quiet end."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from support.processes import INHERITED
from wearon.cli.app import COMMANDS, app
from wearon.tryon.openai.models import DEFAULT_MODEL

ROOT = get_command(app)

HEAVY = {"redis", "httpx", "numpy", "PIL", "mediapipe", "supabase", "uvicorn", "structlog", "arq"}
"""Libraries that take long to import. (pydantic is typer's own business.)"""


def walk(words: tuple[str, ...] = (), command: Any = ROOT) -> Iterator[tuple[str, Any]]:
    """Every command with its name, groups included."""
    yield " ".join(words), command
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        for name in command.list_commands(context):
            _, found, _ = command.resolve_command(context, [name])
            yield from walk((*words, name), found)


EVERY = dict(walk())


def wearon(*arguments: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "wearon", *arguments],
        env={**inherited, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_all_are_walked() -> None:
    assert {"", "serve", "doctor", "dead-letters", "dead-letters retry", "refunds resolve"} <= set(EVERY)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_help_has_an_example_that_parses(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("me.jpg", "shirt.jpg", "ansur.csv", "jeans.csv"):
        Path(file).touch()
    Path("photos").mkdir()

    example = re.search(r"^ *Example: (.+)$", EVERY[name].help or "", re.MULTILINE)
    assert example, f"{name}: no example"
    program, *words = shlex.split(example[1])
    assert program == "wearon"
    assert words[: len(name.split())] == name.split()
    parse(words)


def parse(words: list[str]) -> None:
    """As the command line does, but without running it; raises UsageError."""
    command: Any = ROOT
    context = typer.Context(command)
    while isinstance(command, TyperGroup):
        name, command, words = command.resolve_command(context, words)
        if isinstance(command, TyperGroup):
            context = typer.Context(command, parent=context, info_name=name)
    command.make_context(name, words, parent=context)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_option_is_explained(name: str) -> None:
    for parameter in EVERY[name].params:
        assert parameter.help, f"{name}: {parameter.name}"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_summaries_are_those_of_the_commands(name: str) -> None:
    assert (EVERY[name].help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "--version",
        "doctor --help",
        "status --help",
        "session --help",
        "reconcile --help",
        "dead-letters retry --help",
        "refunds list --help",
    ],
)
def test_looking_around_imports_nothing_heavy(arguments: str, tmp_path: Path) -> None:
    program = (
        "import sys; from wearon.cli.app import run; import atexit;"
        "atexit.register(lambda: print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr));"
        f"sys.argv = ['wearon', *{arguments.split()!r}]; run()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert HEAVY & set(done.stderr.split()) == set()


def test_version_says_which_code_and_which_models(tmp_path: Path) -> None:
    first, *others = wearon("--version", cwd=tmp_path).stdout.splitlines()
    assert first == f"wearon {version('wearon')}"
    (code,) = [line for line in others if line.startswith("commit ")]
    assert re.fullmatch(r"commit +([0-9a-f]{40}(-dirty)?|unknown: git does not tell) \(a clone\)", code)
    text = "\n".join(others)
    assert DEFAULT_MODEL in text
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    (pose,) = [line for line in others if line.startswith("pose model ")]
    assert re.findall(r"[0-9a-f]{64}", pose)[0] in notice
    assert {"bodies.json", "photo_model.json"} <= {
        line.split()[2].strip(",") for line in others if "size model" in line
    }


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("wearon d", {"demo", "doctor", "dead-letters"}),
        ("wearon dead-letters ", {"groups", "list", "show", "retry", "discard"}),
        ("wearon dead-letters retry --", {"--all", "--group", "--dry-run", "--yes", "--json", "--help"}),
    ],
)
def test_the_shell_completes(typed: str, offered: set[str], tmp_path: Path) -> None:
    words = typed.split(" ")
    env = {"_WEARON_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    program = "import sys; sys.argv = ['wearon']; from wearon.cli.app import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **env}, cwd=tmp_path, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == offered


def test_completion_can_be_installed(tmp_path: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        # As it is installed: the name of the program is in what the shell is told.
        program = str(Path(sys.executable).parent / "wearon")
        done = subprocess.run([program, "--show-completion", shell], cwd=tmp_path, capture_output=True, text=True)
        assert "_WEARON_COMPLETE=complete" in done.stdout, done.stderr


def test_a_reader_that_goes_away_hears_no_complaint(tmp_path: Path) -> None:
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    for arguments in ("--help", "doctor --help", "--version"):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "wearon", *arguments.split()],
            env=env,
            cwd=tmp_path,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, ""), arguments


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full is Linux'")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wearon", "--version"], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["Error: the output cannot be written: No space left on device"]


def test_no_output_at_all_is_no_error(tmp_path: Path) -> None:
    program = shlex.join([sys.executable, "-m", "wearon", "--version"])
    done = subprocess.run(["sh", "-c", f"{program} >&-"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_command_is_told_with_the_right_one(tmp_path: Path) -> None:
    done = wearon("docto", cwd=tmp_path)
    assert done.returncode == 2
    assert "doctor" in done.stderr
