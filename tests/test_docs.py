"""README and docs: links lead somewhere, pictures are shown, and every command there takes the options it is given."""

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest
from mlflow.cli import cli as mlflow_cli

from tests.test_project import ENTRIES, ROOT, module_of

README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = {name: name for name in ("tracking.serve", "tests.numbers")} | {
    f"entrypoints.{name}": module_of(name) for name in ENTRIES
}
BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return BLOCKS.sub("", page.read_text())


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return [link for link in found if not re.match(r"https?:", link)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings_that_exist(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{named(page)}: {link}"
        assert not anchor or anchor in anchors(target), f"{named(page)}: {link}"


def test_every_page_and_every_picture_is_reached_from_the_readme():
    reached, ahead = set(), [README]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)} - reached
        reached |= {target for target in targets if target.suffix == ".png"}
        ahead += [target for target in targets if target.suffix == ".md"]
    assert {path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".png")} <= reached


def test_the_readmes_tree_and_the_paths_in_the_text_exist():
    [tree] = [block for kind, block in BLOCKS.findall(README.read_text()) if not kind]
    parents = {0: ROOT}
    for line in tree.splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        parents[indent + 2] = parents[indent] / name
        assert parents[indent + 2].exists(), line
    for page in PAGES:
        for path in re.findall(r"`((?:dl|docs|entrypoints|tests|tracking)/[\w./]*)`", prose(page)):
            assert (ROOT / path).exists(), f"{named(page)}: {path}"


def test_the_readme_is_short_enough_to_be_read():
    assert len(README.read_text()) < 12_000


# ----------------------------------------------------------------------------------------- commands


def commands(page: Path) -> list[list[str]]:
    """The commands in a page's blocks of shell and in its running text, as words, without the variables before them."""
    text = page.read_text()
    lines = [line for kind, block in BLOCKS.findall(text) if kind == "sh" for line in block.splitlines()]
    lines += re.findall(r"`([^`]+)`", prose(page))
    found = []
    for line in lines:
        for part in re.split(r"&&|\|", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # running text with a quote
                continue
            while words and re.match(r"[A-Z_]+=|export$", words[0]):
                words.pop(0)
            if words[:2] == ["uvx", "--from"]:
                words = words[3:]
            if words and words[0] in ("mlflow", "python", "torchrun", "-P") and len(words) > 1:
                found.append(words)
    return found


def check_options(command: click.Command, words: list[str]) -> dict[str, list[str]]:
    """What follows each option of a click command. Fails at an option that it has not, and at a value it refuses."""
    options = {name: option for option in command.params for name in option.opts + option.secondary_opts}
    given, words = {}, [word for each in words for word in (each.split("=", 1) if each.startswith("--") else [each])]
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "--help":
            continue
        assert word in options, f"{command.name} has no {word}"
        option = options[word]
        if not option.is_flag:
            check_value(option, words[0])
            given.setdefault(word, []).append(words.pop(0))
    return given


def check_value(option: click.Parameter, value: str) -> None:
    if not isinstance(option.type, click.Path):  # which need not be here
        option.type.convert(value, option, None)


def check(words: list[str]) -> None:
    """Does a command exist, with these options and values?"""
    match words:
        case ["mlflow", "run", ".", *rest]:
            given = check_options(mlflow_cli.commands["run"], rest)
            entry = given.get("-e", ["main"])[0]
            assert entry in ENTRIES, f"no entry point {entry}"
            for assignment in given.get("-P", []):
                check_parameter(entry, *assignment.split("=", 1))
        case ["mlflow", *rest]:
            command = mlflow_cli
            while isinstance(command, click.Group) and rest:
                command = command.get_command(None, rest.pop(0))
                assert command, f"no such command: {' '.join(words)}"
            check_options(command, rest)
        case ["-P", assignment, *_]:
            name, _, value = assignment.partition("=")
            entries = [entry for entry in ENTRIES if name in ENTRIES[entry].get("parameters", {})]
            assert entries, f"no entry point takes {name}"
            for entry in entries if value else []:
                check_parameter(entry, name, value)
        case ["torchrun", *rest]:
            check(["python", *rest[rest.index("-m") :]])
        case ["python", "-m", "pytest", path]:
            assert (ROOT / path).exists(), f"no file {path}"
        case ["python", "-m", module, *rest]:
            assert module in MODULES, f"no command {module}"
            check_options(importlib.import_module(MODULES[module]).main, rest)
        case ["python", path, *_]:
            assert (ROOT / path).exists(), f"no file {path}"
        case _:
            raise AssertionError(f"not understood: {' '.join(words)}")


def check_parameter(entry: str, name: str, value: str) -> None:
    assert name in ENTRIES[entry]["parameters"], f"{entry} takes no {name}"
    [option] = [o for o in importlib.import_module(module_of(entry)).main.params if o.name == name]
    check_value(option, value)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist_with_the_options_they_are_given(page):
    for words in commands(page):
        check(words)


def test_the_readme_names_the_main_entry_points():
    assert {"svhn_zoo", "tests"} <= {words[words.index("-e") + 1] for words in commands(README) if "-e" in words}


@pytest.mark.parametrize(
    "command",
    [
        "mlflow run . -e svhn_zo",
        "mlflow run . -e svhn_zoo -P model=lenet5",
        "mlflow run . -e svhn_zoo -P dataset=mnist",
        "mlflow run . --env-managr uv",
        "mlflow sever",
        "python -m entrypoints.svhn_zoo --network lenet5",
        "python docs/gpu.py zoo",
        "-P searches=20",
    ],
)
def test_a_command_that_is_wrong_is_found(command):
    with pytest.raises((AssertionError, click.UsageError)):
        check(shlex.split(command))
