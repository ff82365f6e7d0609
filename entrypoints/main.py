"""All four questions in their quick form, then the report.

    mlflow run . --env-manager uv

runs loss_surfaces, convexity, digits_search, svhn_zoo (quick preset) and report one after the other, each in a
process and a run of its own with the tag `main`; what they print is kept as `logs/`. One that fails does not stop the
others: the exit code tells. About ten minutes on two cores, and outputs/report/report.html to read.
"""

import codecs
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import click
import mlflow
from mlflow.entities import Run as Record
from tqdm import tqdm

from entrypoints.options import Command
from tracking.run import Run, start
from tracking.store import end_orphans

ROOT = Path(__file__).resolve().parents[1]
STEPS = {
    "loss_surfaces": (),
    "convexity": (),
    "digits_search": (),
    "svhn_zoo": ("--preset", "quick"),
    "report": (),
}
PATIENCE = 30  # seconds that a step may take to end its runs
BAR = re.compile(r"(?P<what>[^:]*): +(?P<share>\d+%)\|")  # as tqdm draws it


@click.command(cls=Command, help=__doc__)
def main() -> None:
    rows = []
    with start("main", tags={"kind": "main"}) as run, TemporaryDirectory() as folder:
        try:
            with tqdm(STEPS, unit="step", disable=None, bar_format="{n}/{total} done, {elapsed}: {desc}") as bar:
                for name in bar:
                    rows.append(step(run, name, Path(folder, f"{name}.log"), bar))
                    tqdm.write(f"{len(rows)}/{len(STEPS)} {one_line(rows[-1])}")
        finally:
            for left in began(run):
                end(run, left)
        run.metrics({f"{row['step']}_seconds": row["seconds"] for row in rows})
        run.note(as_markdown(rows))
        failed = [row["step"] for row in rows if row["code"]]
        if failed:
            run.fail(f"{len(failed)} of {len(rows)} steps failed: {', '.join(failed)}")
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {len(rows)} steps failed: {', '.join(failed)}; see logs/ of the run"
        )


def step(run: Run, name: str, log: Path, bar: tqdm) -> dict:
    """One entry point, whole; its row of the summary."""
    before = {each.info.run_id for each in began(run)}
    environment = os.environ | {
        "MLFLOW_RUN_CONTEXT": json.dumps({"main": run.id}),  # tags of every run that this process starts
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    bar.set_description_str(name)
    clock = perf_counter()
    command = [sys.executable, "-m", f"entrypoints.{name}", *STEPS[name]]
    code = execute(command, environment, log, lambda text: bar.set_description_str(f"{name} {text}".rstrip()))
    row = {"step": name, "seconds": perf_counter() - clock, "code": code, "run": None, "verdicts": Counter()}
    for each in began(run):
        if each.info.run_id not in before:
            end(run, each)
            row["run"] = each.info.run_id
            row["verdicts"] = Counter(v for key, v in each.data.tags.items() if key.startswith("claim."))
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    row["last"] = lines[-1].strip() if lines else f"ended with code {code} without a word"
    run.file(log, "logs")
    return row


def execute(command: list[str], environment: dict, log: Path, show: Callable[[str], None]) -> int:
    """Run `command` to its end on a terminal of its own; returns its exit code.

    Its lines go to `log`; the share done of its latest progress bar to `show`, once a second at least. However this
    ends, the process has ended.
    """
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 100))  # else its bars have no width
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment)
    os.close(its)
    try:
        text = ""
        with log.open("w") as file:
            for piece in pieces(ours):
                *lines, text = (text + piece).split("\n")
                for line in lines:
                    line = click.unstyle(line.rstrip("\r").rpartition("\r")[2])
                    if not BAR.match(line):
                        file.write(line + "\n")
                found = BAR.match(click.unstyle(text.rpartition("\r")[2]))
                show(f"{found['what'].strip()} {found['share']}" if found else "")
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.close(ours)


def pieces(terminal: int) -> Iterator[str]:
    """What arrives there until the other side is closed; every second without a word, the empty text."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a letter may come in two halves
    while True:
        if not select.select([terminal], [], [], 1.0)[0]:
            yield ""
            continue
        with suppress(OSError):  # Linux says so when the other side is closed
            if content := os.read(terminal, 65_536):
                yield decoder.decode(content)
                continue
        return


def began(run: Run) -> list[Record]:
    """The runs that this one's steps have begun, the earliest first."""
    query = f"tags.main = '{run.id}'"
    return mlflow.search_runs(
        [run.experiment], query, order_by=["attributes.start_time ASC"], output_format="list"
    )  # fmt: skip


def end(run: Run, record: Record) -> None:
    """End what a process that was killed left RUNNING."""
    if record.info.status == "RUNNING":
        end_orphans(run.client, record)
        run.client.set_terminated(record.info.run_id, "KILLED")


def one_line(row: dict) -> str:
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row["verdicts"].items()))
    if row["code"]:
        return f"{row['step']}: failed after {row['seconds']:.0f} s: {row['last']}"
    return f"{row['step']}: {row['seconds']:.0f} s" + (f": {told}" if told else "")


def as_markdown(rows: list[dict]) -> str:
    lines = ["| step | seconds | outcome | run |", "|---|---|---|---|"]
    for row in rows:
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row["verdicts"].items()))
        outcome = "**failed**: " + row["last"].replace("|", "\\|") if row["code"] else told or "done"
        lines.append(f"| {row['step']} | {row['seconds']:.0f} | {outcome} | {row['run'] or 'none'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
