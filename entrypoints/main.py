"""All four questions in their quick form, then the report.

    mlflow run . --env-manager uv

runs loss_surfaces, convexity, digits_search, svhn_zoo (quick preset) and report one after the other, each in a
process and a run of its own with the tag `main`; what they print is shown and kept as `logs/`. One that fails does not
stop the others: the exit code tells. About ten minutes on two cores, and outputs/report/report.html to read.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import click
from tqdm import tqdm

from entrypoints.options import Command
from tracking.errors import TrackingError
from tracking.evidence import VERDICT
from tracking.run import Run, start
from tracking.store import end_killed, tagged

ROOT = Path(__file__).resolve().parents[1]
STEPS = {
    "loss_surfaces": (),
    "convexity": (),
    "digits_search": (),
    "svhn_zoo": ("--preset", "quick"),
    "report": (),
}
STOP_SECONDS = 30  # that a step may take to end its runs


@click.command(cls=Command, help=__doc__)
def main() -> None:
    rows = []
    with start("main", tags={"kind": "main"}) as run, TemporaryDirectory() as folder:
        try:
            with tqdm(STEPS, unit="step", disable=None, bar_format="{n}/{total} done, {elapsed}: {desc}") as bar:
                for name in bar:
                    bar.set_description_str(name)
                    rows.append(run_step(run, name, Path(folder, f"{name}.log")))
                    tqdm.write(f"{len(rows)}/{len(STEPS)} {step_line(rows[-1])}")
        finally:
            with suppress(TrackingError):  # it must not take the place of what ended the steps
                for left in tagged(run.client, run.experiment, "main", run.id):
                    end_killed(run.client, left)
        run.metrics({f"{row['step']}_seconds": row["seconds"] for row in rows})
        run.note(steps_table(rows))
        failed = [row["step"] for row in rows if row["code"]]
        if failed:
            run.fail(f"{len(failed)} of {len(rows)} steps failed: {', '.join(failed)}")
    if failed:
        raise click.ClickException(
            f"{len(failed)} of {len(rows)} steps failed: {', '.join(failed)}; see logs/ of the run"
        )


def run_step(run: Run, name: str, log: Path) -> dict:
    """Run one entry point to its end; returns its row of the summary."""
    before = {each.info.run_id for each in tagged(run.client, run.experiment, "main", run.id)}
    environment = os.environ | {
        "MLFLOW_RUN_CONTEXT": json.dumps({"main": run.id}),  # tags of every run that this process starts
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    clock = perf_counter()
    code = tee([sys.executable, "-m", f"entrypoints.{name}", *STEPS[name]], environment, log)
    row = {"step": name, "seconds": perf_counter() - clock, "code": code, "run": None, "verdicts": Counter()}
    for each in tagged(run.client, run.experiment, "main", run.id):
        if each.info.run_id not in before:
            end_killed(run.client, each)
            row["run"] = each.info.run_id
            row["verdicts"] = Counter(v for key, v in each.data.tags.items() if key.startswith(VERDICT))
    lines = [line for line in log.read_text("utf-8").splitlines() if line.strip()]
    row["last"] = lines[-1].strip() if lines else f"ended with code {code} and printed nothing"
    run.file(log, "logs")
    return row


def tee(command: list[str], environment: dict[str, str], log: Path) -> int:
    """Run `command` to its end; returns its exit code. What it prints is shown, above the bar, and kept in `log`.

    Not on a terminal, its own bars are off. However this ends, the process has ended.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        with log.open("w", encoding="utf-8") as file:
            for line in process.stdout or ():
                file.write(line)
                tqdm.write(line, end="")
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def step_line(row: dict) -> str:
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row["verdicts"].items()))
    if row["code"]:
        return f"{row['step']}: failed after {row['seconds']:.0f} s: {row['last']}"
    return f"{row['step']}: {row['seconds']:.0f} s" + (f": {told}" if told else "")


def steps_table(rows: list[dict]) -> str:
    lines = ["| step | seconds | outcome | run |", "|---|---|---|---|"]
    for row in rows:
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(row["verdicts"].items()))
        outcome = "**failed**: " + row["last"].replace("|", "\\|") if row["code"] else told or "done"
        lines.append(f"| {row['step']} | {row['seconds']:.0f} | {outcome} | {row['run'] or 'none'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
