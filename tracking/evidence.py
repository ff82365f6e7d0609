"""Runs as evidence: verdicts logged on them, and finished runs found again by rule, with what they left."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run as Record
from mlflow.exceptions import MlflowException

from tracking.run import Run
from tracking.store import children, page

VERDICT = "claim."  # beginning of the tags that hold verdicts


def log_verdicts(run: Run, verdicts: Sequence[dict], about: str = "") -> None:
    """Log the verdicts of a question as `claims.json` and a tag each; a dict has at least `claim` and `verdict`.

    about: stands before the file's and the tags' names where the verdicts are not about the document's own data.
    """
    run.log_json(f"{about}claims.json", list(verdicts))
    run.tags({about + VERDICT + row["claim"]: row["verdict"] for row in verdicts})


@dataclass(frozen=True)
class Evidence:
    """A parent run."""

    record: Record

    @property
    def id(self) -> str:
        return self.record.info.run_id

    @property
    def name(self) -> str:
        return self.record.info.run_name

    @property
    def status(self) -> str:
        return self.record.info.status

    @property
    def over(self) -> bool:
        """True if the run came to its end. One that failed with its verdicts did: a network in it was what failed."""
        judged = any(tag.startswith(VERDICT) for tag in self.tags)
        return self.status == "FINISHED" or (self.status == "FAILED" and judged)

    @property
    def tags(self) -> dict[str, str]:
        return self.record.data.tags

    @property
    def params(self) -> dict[str, str]:
        return self.record.data.params

    @property
    def metrics(self) -> dict[str, float]:
        return self.record.data.metrics

    @property
    def note(self) -> str:
        return self.tags.get("mlflow.note.content", "")

    @property
    def started(self) -> datetime:
        return datetime.fromtimestamp(self.record.info.start_time / 1000, UTC)

    @property
    def seconds(self) -> float:
        return ((self.record.info.end_time or self.record.info.start_time) - self.record.info.start_time) / 1000

    @property
    def link(self) -> str:
        return page(self.record.info.experiment_id, self.id)

    def file(self, path: str) -> bytes | None:
        """Return an artifact's content; None where there is none of that name."""
        with TemporaryDirectory() as folder:
            try:
                return Path(MlflowClient().download_artifacts(self.id, path, folder)).read_bytes()
            except (MlflowException, OSError):
                return None

    def read_json(self, path: str) -> dict | list | None:
        """Return a JSON artifact; None where there is none, or it is damaged."""
        try:
            return json.loads(self.file(path) or "null")
        except ValueError:
            return None

    def read_table(self, path: str) -> list[dict]:
        """Return the rows that `Run.log_table` logged; none where there is none."""
        content = self.read_json(path)
        if not isinstance(content, dict):
            return []
        return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]

    def children(self, kind: str) -> list[Record]:
        return children(MlflowClient(), self.record.info.experiment_id, self.id, kind)


def parents(question: int, kind: str, **tags: tuple[str, ...]) -> list[Evidence]:
    """Return the parent runs of that question and kind in all experiments, latest first, whatever their status.

    tags: the values allowed for each of these tags.
    """
    found = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.question = '{question}' and tags.kind = '{kind}'",
        output_format="list",
    )
    found = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    found = [run for run in found if all(run.data.tags.get(key) in allowed for key, allowed in tags.items())]
    return [Evidence(run) for run in sorted(found, key=lambda run: run.info.start_time, reverse=True)]


def best(candidates: list[Evidence], rank: Callable[[Evidence], tuple]) -> Evidence | None:
    """Return the candidate of highest rank that came to its end, the latest of equals; None where none did."""
    return max(
        [each for each in candidates if each.over],
        key=lambda each: (*rank(each), each.record.info.start_time),
        default=None,
    )
