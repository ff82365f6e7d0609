"""The house: entry points and MLproject agree, imports run one way, versions are pinned."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ENTRIES = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
QUESTIONS = [name for name in ENTRIES if name != "tests"]


def module_of(name: str) -> str:
    """The module that `python -m entrypoints.NAME` runs: a file, or the `__main__` of a folder."""
    folder = (ROOT / "entrypoints" / name).is_dir()
    return f"entrypoints.{name}.__main__" if folder else f"entrypoints.{name}"


@pytest.mark.parametrize("name", QUESTIONS)
def test_mlproject_and_click_agree(name):
    entry = ENTRIES[name]
    options = {option.name: option for option in importlib.import_module(module_of(name)).main.params}
    parameters = entry.get("parameters", {})
    assert set(parameters) == set(options)
    assert f"python -m entrypoints.{name} " in entry["command"] + " "
    for key, spec in parameters.items():
        assert f"--{key.replace('_', '-')} {{{key}}}" in entry["command"]
        option = options[key]
        if "default" not in spec:
            assert option.required
            continue
        assert option.type.convert(str(spec["default"]), option, None) == option.default, key


def test_every_entry_point_has_its_file():
    files = {path.stem for path in (ROOT / "entrypoints").glob("*.py")} - {"__init__", "options", "questions", "zoo"}
    folders = {path.parent.name for path in (ROOT / "entrypoints").glob("*/__main__.py")}
    assert files | folders == set(QUESTIONS)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("dl", {"mlflow", "click", "tracking", "entrypoints", "tqdm"}),
        ("tracking", {"click", "dl", "entrypoints"}),
    ],
)
def test_imports_run_one_way(folder, forbidden):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        allowed = {"click"} if path.name == "serve.py" else set()  # a command, but none that `mlflow run` may record
        assert not imported(path) & forbidden - allowed, path


@pytest.mark.parametrize(("package", "only"), [("hyperopt", "dl/tuning/tpe.py"), ("ray", "dl/tuning/cluster.py")])
def test_one_file_alone_drives_a_search_package(package, only):
    files = [path for folder in ("dl", "entrypoints", "tracking") for path in (ROOT / folder).rglob("*.py")]
    assert {str(path.relative_to(ROOT)) for path in files if package in imported(path)} == {only}


@pytest.mark.parametrize("name", ["svhn_zoo", "digits_search", "loss_surfaces", "report", "benchmark", "demo"])
def test_help_waits_for_no_heavy_import(name):
    code = f"import sys, {module_of(name)}; print({{'torch', 'mlflow', 'numpy', 'ray'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def files_of_the_program() -> list[Path]:
    return [path for folder in ("dl", "entrypoints", "tracking") for path in (ROOT / folder).rglob("*.py")]


def top_level_names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def test_a_name_means_one_thing_in_the_whole_project():
    owners: dict[str, set[str]] = {}
    for path in files_of_the_program():
        for name in top_level_names(path):
            if name != "main" and not name.startswith("__"):  # every command has its main
                owners.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}


def test_no_file_is_too_long_to_be_read_in_one_sitting():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files_of_the_program()}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_the_rooms_of_dl_import_one_another_without_a_circle():
    """Also inside functions: a late import hides a circle, it does not remove it."""
    imports: dict[str, set[str]] = {}
    for path in (ROOT / "dl").rglob("*.py"):
        room = path.relative_to(ROOT / "dl").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "dl":
                parts = node.module.split(".")[1:] or [alias.name for alias in node.names]
                imports.setdefault(room, set()).add(parts[0])
    for room in imports:
        imports[room] -= {room, "__init__"}
    TopologicalSorter(imports).prepare()  # CycleError names the circle
