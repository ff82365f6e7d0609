"""The environment: locked, complete, no larger than needed, and imported without anything that only POSIX has."""

import ast
import importlib
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from click.testing import CliRunner

from tests.test_project import ENTRIES, QUESTIONS, ROOT, files_of_the_program, imported, module_of

OURS = {"dl", "docs", "entrypoints", "tests", "tracking"}
# used, and never imported
RUN = {
    "axe-core-python": "by a browser", "ipykernel": "by nbclient", "mypy": "by a command", "nvidia-ml-py": "by MLflow",
    "psycopg": "by SQLAlchemy", "pytest-xdist": "by pytest", "ruff": "by a command",
}  # fmt: skip
LOCK = (ROOT / "requirements.txt").read_text()
PINS = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]  # version, hashes, what wants it


def names(text: str) -> set[str]:
    """The packages that a file of requirements names, without versions and extras."""
    return {re.match(r"[\w.-]+", line)[0].lower() for line in text.splitlines() if re.match(r"\w", line)}


OPTIONAL = set().union(*(names(path.read_text()) for path in ROOT.glob("requirements-*.txt")))


def test_every_package_is_pinned_with_hashes_and_none_names_where_it_came_from():
    assert len(PINS) > 100
    for pin in PINS:
        assert re.match(r"[\w.-]+==[\w.]+( ;.*)? \\\n    --hash=sha256:[0-9a-f]{64}", pin), pin.splitlines()[0]
    assert "://" not in LOCK


def test_the_lock_is_made_of_what_the_project_says_it_uses():
    wanted = (ROOT / "requirements.in").read_text()
    direct = "".join(pin for pin in PINS if "-r requirements.in" in pin)
    assert names(direct) == names(wanted), "lock again: docs/environment.md"
    for name, version in re.findall(r"^([\w-]+).*==([\w.]+)", wanted, re.MULTILINE):
        assert f"\n{name}=={version} " in LOCK
    command = re.search(r"uv pip compile .*", LOCK)[0]
    assert command in (ROOT / "docs" / "environment.md").read_text()
    # the mlflow that starts a run and the mlflow that the run logs with are the same
    assert f"pip install {re.search(r'^mlflow==[0-9.]+', LOCK, re.MULTILINE)[0]} " in (ROOT / "README.md").read_text()


def test_what_is_imported_is_what_the_project_says_it_uses():
    files = [*files_of_the_program(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "docs").rglob("*.py")]
    modules = set.union(*map(imported, files)) - set(sys.stdlib_module_names) - OURS
    installed = packages_distributions()
    owners = {module: {name.lower() for name in installed.get(module, [module])} for module in modules}
    used = names((ROOT / "requirements.in").read_text())
    assert [module for module, there in owners.items() if not there & (used | OPTIONAL)] == []
    assert used - set.union(*owners.values()) == set(RUN)


def test_the_variant_without_a_gpu_leaves_out_all_that_is_for_one():
    of_a_gpu = {name for name in names(LOCK) if re.match(r"nvidia-|cuda-|triton", name)}
    assert names((ROOT / "requirements-cpu.txt").read_text()) == of_a_gpu


# ------------------------------------------------------------------------------------------ Windows

POSIX_MODULES = ["fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"]
POSIX_NAMES = {
    "os": ["fork", "forkpty", "getpgid", "getuid", "geteuid", "killpg", "nice", "setsid", "statvfs"],
    "signal": ["SIGALRM", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill", "setitimer"],
}  # fmt: skip


def do_without_posix() -> None:
    """Import every module and ask every command for its --help in a process that lacks what only POSIX has.

    That process is no good for anything else afterwards. Libraries are imported before: they look at sys.platform, and
    find Linux here.
    """
    for name in ("hyperopt", "matplotlib.pyplot", "mlflow.pytorch", "ray.tune", "sklearn.datasets", "torchvision"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] in ("dl", "entrypoints", "tracking")]:
        del sys.modules[name]  # to be imported anew
    sys.modules |= dict.fromkeys(POSIX_MODULES)  # importing them fails
    for module in (os, signal):
        for name in POSIX_NAMES[module.__name__]:
            delattr(module, name)
    for path in files_of_the_program():
        try:
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        except ModuleNotFoundError as error:  # a package that one command alone wants
            if error.name not in OPTIONAL:
                raise
    for name in [*map(module_of, QUESTIONS), "tracking.serve"]:
        result = CliRunner().invoke(importlib.import_module(name).main, ["--help"])
        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output


def test_every_module_and_every_command_does_without_what_windows_lacks():
    program = f"from {__name__} import do_without_posix; do_without_posix()"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_function_uses_what_windows_lacks():
    for path in files_of_the_program():
        assert not imported(path) & set(POSIX_MODULES), path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.attr not in POSIX_NAMES.get(node.value.id, []), f"{path}: {ast.unparse(node)}"


@pytest.mark.parametrize("name", ENTRIES)
def test_commands_are_such_as_both_shells_take(name):
    """bash and cmd.exe agree on words, on double quotes and on &&."""
    assert not re.search(r"[^\w\s./:={}&-]|(?<!&)&(?!&)", ENTRIES[name]["command"])
