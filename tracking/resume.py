"""Going on with a run that was interrupted: its options on record, what is refused, and one process at a time."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from mlflow.entities import Run as Record

from tracking.errors import ResumeError
from tracking.patience import patience, patient, say
from tracking.run import Inherited, Run, start
from tracking.signals import signals_end_the_block
from tracking.store import children, connect, find, hush

DECIDED = ("dataset", "preset", "device")  # options that may be `auto`, and tags that say what became of it
RAISED = "raised."  # beginning of the tags that hold options raised by a later process: a parameter cannot be changed


@dataclass(frozen=True)
class Option:
    """An option as it stands on the command line."""

    value: object
    default: object
    parse: Callable[[str], object]  # its text on record; ValueError where it has no such value any more
    given: bool  # or left at its default


@dataclass(frozen=True)
class Earlier:
    """A run that is to go on."""

    record: Record
    params: dict[str, object]  # the options on record, raised where they were
    raised: tuple[str, int, int] | None = None  # by this command line: option, from, to

    @property
    def id(self) -> str:
        return self.record.info.run_id

    @property
    def options(self) -> dict[str, Any]:
        """Return the options with what became of those that left a choice."""
        tags = self.record.data.tags
        return self.params | {key: tags[key] for key in DECIDED if key in self.params and key in tags}

    @property
    def folder(self) -> Path:
        """Return where the run's files lie, wherever this command was started."""
        return Path(self.record.data.tags.get("checkpoints") or Path("checkpoints", self.id).absolute())


def reopen(run_id: str, command: str, tags: Mapping[str, str], options: Mapping[str, Option], trials: str) -> Earlier:
    """Return the run of `command`, known by its `tags`, that is to go on; nothing in it is changed yet.

    trials: the option that counts trials, which may be raised while the run has nothing but trials. Raises ResumeError
    where the run cannot go on, or where `options` ask for something else than it has.
    """
    client = connect()
    record = find(client, run_id)
    if any(record.data.tags.get(key) != value for key, value in tags.items()):
        raise ResumeError(f"run {run_id} is no {tags['kind']} run of {command}")
    if record.info.status == "FINISHED":
        raise ResumeError(f"run {run_id} is finished: there is nothing to resume")
    texts = record.data.params
    if not set(options) & set(texts):
        client.set_terminated(run_id, "KILLED")
        raise ResumeError(f"run {run_id} died before it had recorded its options: start a new one")
    # an option that is younger than the run: its default is what the run did
    params = {}
    for key, each in options.items():
        text = record.data.tags.get(RAISED + key, texts.get(key))
        try:
            params[key] = each.default if text is None else each.parse(text)
        except ValueError as error:
            raise ResumeError(
                f"run {run_id} was started with {flag(key)} {text}, which is no more: start a new run"
            ) from error
    earlier = Earlier(record, params)
    other = {
        key: params[key]
        for key, each in options.items()
        if each.given and each.value not in (params[key], earlier.options[key])
    }
    before, now = cast(int | None, other.pop(trials, None)), cast(int, options[trials].value)
    if other:
        found = ", ".join(f"{flag(key)} {value} (here {options[key].value})" for key, value in other.items())
        raise ResumeError(f"run {run_id} was started with {found}: leave that out, or start a new run")
    if before is None:
        return earlier
    if now < before or not before:
        raise ResumeError(
            f"run {run_id} has {flag(trials)} {before}, which can be raised but not lowered: {now} is not possible"
            if before
            else f"run {run_id} was started without {flag(trials)}, which can be raised but not added: start a new run"
        )
    if any(child.data.tags.get("kind") != "trial" for child in children(client, record.info.experiment_id, run_id)):
        raise ResumeError(
            f"run {run_id} has gone on from the {before} trials of its search: more would not change what it "
            f"found, so leave {flag(trials)} out, or start a new run"
        )
    return Earlier(record, params | {trials: now}, (trials, before, now))


def flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


@contextmanager
def start_or_resume(
    name: str, params: Mapping[str, object], tags: Mapping[str, object], earlier: Earlier | None
) -> Iterator[tuple[Run, Path]]:
    """Open the parent run of a command, new or going on with `earlier`, and a local folder of its own for its files.

    No other process gets into the run meanwhile. Raises ResumeError where one is in it.
    """
    with ExitStack() as held:
        if earlier:
            held.enter_context(lock(earlier.folder))
        with start(name, earlier.params if earlier else params, tags, earlier.id if earlier else None) as run:
            folder = earlier.folder if earlier else Path("checkpoints", run.id).absolute()
            if not earlier:
                held.enter_context(lock(folder))
            run.tags({"checkpoints": folder})
            if earlier and earlier.raised:
                option, before, now = earlier.raised
                run.tags({RAISED + option: now})
                say(f"{flag(option)} raised from {before} to {now}")
            say(f"If this is interrupted, --resume {run.id} goes on with it.")
            yield run, folder


@contextmanager
def reach(run_id: str, inherited: Inherited) -> Iterator[Run]:
    """Reach a run that another process has open, to open children below it; that run's end is not this block's."""
    hush()
    with patience(), signals_end_the_block():
        client = connect()
        yield Run(client, patient(client).get_run(run_id), inherited, reopened=True)


def rename_children(run: Run, names: Mapping[str, str]) -> None:
    """Give children of a resumed run that an earlier version wrote their names of today, by which they are opened."""
    for child in run.children():
        if child.info.run_name in names:
            run.client.update_run(child.info.run_id, name=names[child.info.run_name])
    run.reread()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other processes out of the run of this `folder`; the lock ends with this process, however that ends.

    Raises ResumeError where another process is in it: two that write to the same runs would double everything; and
    where the folder, which may be another machine's, cannot be written. A folder that is empty in the end goes.
    """
    held = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
    except Timeout as error:
        raise ResumeError(f"run {folder.name} is still going on in another process: end that first") from error
    except OSError as error:
        raise ResumeError(
            f"run {folder.name} keeps its checkpoints in {folder.parent}, which cannot be written here "
            f"({error.strerror or error})"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes it when it is released
            Path(held.lock_file).unlink()
        held.release()
        for empty in (folder, folder.parent):
            with suppress(OSError):  # checkpoints of a network that may still succeed, or of other runs
                empty.rmdir()


def refuse_other_data(record: Record, name: str, digests: Mapping[str, str]) -> None:
    """Raise ResumeError where the run had other images than these; digests: of "train", "val" and "test"."""
    there = {
        tag.value: each.dataset.digest
        for each in (record.inputs.dataset_inputs if record.inputs else [])
        for tag in each.tags
        if tag.key == "mlflow.data.context"
    }
    for part, digest in digests.items():
        if there.get(part, digest) != digest:
            raise ResumeError(
                f"run {record.info.run_id} had other {name} images ({part}: {there[part]}, here {digest}): bring those "
                "back, or start a new run"
            )


def refuse_other_spaces(record: Record, spaces: Mapping[str, str]) -> None:
    """Raise ResumeError where the run searched other spaces than these; a space is its digest, by name."""
    searched = json.loads(record.data.tags.get("spaces", "{}"))
    if other := [name for name in searched if searched[name] != spaces.get(name)]:
        raise ResumeError(
            f"run {record.info.run_id} searched another space than this program has for {', '.join(other)}: "
            "start a new run"
        )
