"""MLflow runs: one parent a command, one child a network, trial or repeat.

`start` adopts the run that `mlflow run` has made or creates one; `Run.child` nests below it. However a block ends, its
run ends: FINISHED, FAILED (an exception), KILLED (Ctrl-C, SIGTERM). A child carries its parent's parameters and
tags as well, because the UI's filters would otherwise hide it.

A process that dies of kill -9 leaves its runs RUNNING. `start(resume=...)` opens the parent again and `Run.child` the
children, by name; what they hold already is not written twice. So a resumed command logs as if from its start.

Every call waits for a server that is away (tracking.patience). Metrics wait in the background: training goes on.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag
from mlflow.entities import Run as Record
from mlflow.exceptions import MlflowException

from tracking.endings import active_run_ended, ending, orphans_ended
from tracking.errors import StoreError
from tracking.metrics import Outbox, as_metrics, logged_steps
from tracking.patience import http_limits, patience, patient, reason_of, retry, say, shown_uri
from tracking.signals import end_with_the_launcher, signals_end_the_block
from tracking.store import children, connect, end_orphans, find, hush, page, refuse_artifacts_of_a_server, run_again

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

LONGEST = 8000  # characters of a tag, and so of a note: MLflow cuts off what is behind them
REST = "\n\n*Cut off here: all of it is in the artifact `note.md`.*"
SOURCE_TAGS = ("mlflow.source.", "mlflow.user", "mlflow.project.")  # who and what code: same for children


@dataclass(frozen=True)
class Inherited:
    """What a run's children carry as well."""

    params: Mapping[str, object]
    tags: Mapping[str, object]


class Run:
    """One MLflow run, open for logging. Made by `start` and `Run.child`."""

    def __init__(self, client: MlflowClient, record: Record, inherited: Inherited, reopened: bool = False):
        self.client, self._impatient = patient(client), client
        self.id = record.info.run_id
        self.name = record.info.run_name
        self.experiment = record.info.experiment_id
        self._params = dict(record.data.params)
        self.inherited = inherited
        self._outbox = Outbox(client, record.info.run_id)
        self._logged = logged_steps(self.client, record) if reopened else set()
        self._earlier: dict[str, Record] = {}
        if reopened:
            self.reread()
        self.failure: str | None = None

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters. Keys that stand already keep their value: `mlflow run` logs the raw text first."""
        self._params |= (new := {key: str(value) for key, value in values.items() if key not in self._params})
        if new:
            self.client.log_batch(self.id, params=[Param(key, value) for key, value in new.items()])

    def tags(self, values: Mapping[str, object]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of one step without waiting for the server. A resumed run keeps what it has."""
        self._outbox.add(as_metrics({k: value for k, value in values.items() if (k, step) not in self._logged}, step))

    def flush(self) -> None:
        """Wait until every metric has reached the server; raises what it refuses, StoreError where it stays away."""
        self._outbox.flush()

    def fail(self, reason: str) -> None:
        """Have this run end FAILED, for `reason` (tag `error`), although its block ends well."""
        self.failure = reason
        self.tags({"error": reason})

    def end(self, status: str) -> None:
        active = mlflow.active_run()
        if active is not None and active.info.run_id == self.id:  # left to mlflow, it ends FINISHED at exit
            with suppress(MlflowException):
                return mlflow.end_run(status)
        self.client.set_terminated(self.id, status)

    def figure(self, path: str, figure: "Figure") -> None:
        self.client.log_figure(self.id, figure, path)

    def image(self, key: str, image: "Image", step: int) -> None:
        """Log an image of a step: the UI goes through the steps of a `key` with a slider."""
        self.client.log_image(self.id, image, key=key, step=step, synchronous=True)

    def log_table(self, path: str, rows: list[dict]) -> None:
        """Log a list of dicts as a table that the UI shows and compares; replaces one of that name."""
        keys = dict.fromkeys(key for row in rows for key in row)  # a failed network's row lacks most
        columns = {key: [row.get(key) for row in rows] for key in keys}
        client = self._impatient

        def replace() -> None:  # repeated as a whole: log_table appends to what is there
            if path in {item.path for item in client.list_artifacts(self.id)}:
                client.log_text(self.id, json.dumps({"columns": list(columns), "data": []}), path)
            client.log_table(self.id, columns, path)

        retry(replace)

    def log_json(self, path: str, content: dict | list) -> None:
        self.client.log_dict(self.id, cast(dict, content), path)  # takes a list too

    def text(self, path: str, content: str) -> None:
        self.client.log_text(self.id, content, path)

    def file(self, path: str | Path, folder: str | None = None) -> None:
        self.client.log_artifact(self.id, str(path), folder)

    def copy(self, run_id: str, *paths: str) -> None:
        """Log artifacts of another run on this one as well; what is not there is left out."""
        with TemporaryDirectory() as folder:
            for path in paths:
                with suppress(MlflowException, OSError):
                    self.file(self.client.download_artifacts(run_id, path, folder))

    def note(self, markdown: str) -> None:
        """Write the description that the UI shows on top of the run; one too long for that is whole in `note.md`."""
        if len(markdown) > LONGEST:
            self.text("note.md", markdown)
            markdown = markdown[: LONGEST - len(REST)].rpartition("\n")[0] + REST
        self.tags({"mlflow.note.content": markdown})

    def dataset(self, name: str, source: str, digest: str, rows: int, context: str) -> None:
        """Log which data went in; `context` is "train", "val" or "test"."""
        dataset = Dataset(
            name=name,
            digest=digest,
            source_type="code",
            source=json.dumps({"tags": {"mlflow.source.name": source}}),
            profile=json.dumps({"num_rows": rows}),
        )
        self.client.log_inputs(self.id, [DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])])

    @contextmanager
    def child(
        self, name: str, params: Mapping[str, object] | None = None, tags: Mapping[str, object] | None = None
    ) -> Iterator["Run"]:
        """Open a nested run; it ends when the block ends, however that ends.

        Where this run is a resumed one that has a child of that name, the child is opened again.
        """
        earlier = self._earlier.pop(name, None)
        record = run_again(self.client, earlier) if earlier else self._create(name, tags or {})
        inherited = Inherited({**self.inherited.params, **(params or {})}, {**self.inherited.tags, **(tags or {})})
        child = Run(self._impatient, record, inherited, reopened=earlier is not None)
        with ending(child):
            child.params(inherited.params)
            yield child

    def record(
        self,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, object],
        series: Iterable[tuple[int, Mapping[str, float]]] = (),
        final: Mapping[str, float] | None = None,
    ) -> str:
        """Write a child that is over already in a few calls; returns its run id. With a tag `error` it has FAILED.

        series: (step, metrics) pairs; final: metrics without a step.
        """
        record = self._create(name, tags)
        values = [metric for step, metrics in series for metric in as_metrics(metrics, step)]
        self.client.log_batch(
            record.info.run_id,
            metrics=values + as_metrics(final or {}, 0),
            params=[Param(key, str(value)) for key, value in {**self.inherited.params, **params}.items()],
        )
        self.client.set_terminated(record.info.run_id, "FAILED" if "error" in tags else "FINISHED")
        return record.info.run_id

    def result(self, name: str, path: str) -> dict | None:
        """Return the JSON artifact of the child `name` that was over before this run was resumed, or None."""
        earlier = self._earlier.get(name)
        if earlier is None or earlier.info.status not in ("FINISHED", "FAILED"):
            return None
        return self.load_json(earlier.info.run_id, path)

    def load_json(self, run_id: str, path: str) -> dict | None:
        """Return a JSON artifact of any run, or None where there is none."""
        try:
            return retry(lambda: mlflow.artifacts.load_dict(f"runs:/{run_id}/{path}"))
        except (MlflowException, OSError):
            return None

    def reread(self) -> None:
        """Look again which children there are: `child` opens those from here on, not only an earlier process's."""
        self._earlier = {child.info.run_name: child for child in self.children()}

    def view(self, run_id: str) -> "Run":
        """Return another run, to add to without opening it: its status stays."""
        return Run(self._impatient, self.client.get_run(run_id), self.inherited)

    def tag(self, key: str) -> str | None:
        return self.client.get_run(self.id).data.tags.get(key)

    def children(self, kind: str | None = None) -> list[Record]:
        """Return all children of this run, whatever their status, oldest first; `kind` filters by that tag."""
        return children(self.client, self.experiment, self.id, kind)

    def _create(self, name: str, tags: Mapping[str, object]) -> Record:
        """Create a run below this one: one, also where the answer to a first try was lost."""
        texts = {key: str(tag) for key, tag in {**self.inherited.tags, **tags, "mlflow.parentRunId": self.id}.items()}
        began, tries = int(time.time() * 1000), 0
        mine = f"tags.mlflow.parentRunId = '{self.id}' and attributes.start_time = {began}"

        def create() -> Record:
            nonlocal tries
            tries += 1
            there = self._impatient.search_runs([self.experiment], mine) if tries > 1 else []
            made = [run for run in there if run.info.run_name == name]
            return made[0] if made else self._impatient.create_run(self.experiment, began, texts, name)

        with http_limits(retries=0):  # by itself MLflow's client would ask twice
            return retry(create)


@contextmanager
def start(
    name: str,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    resume: str | None = None,
) -> Iterator[Run]:
    """Open the parent run of one command.

    Adopts the run of `mlflow run` (MLFLOW_RUN_ID) or creates one. With `resume` (a run id) that run is opened
    again, its children that a dead process left RUNNING are ended as KILLED, and the run that `mlflow run` made for
    this command only points to it. Raises ResumeError where `resume` names no run, StoreError where the tracking
    server is not to be had.
    """
    hush()
    with patience(), signals_end_the_block():
        texts = {key: str(value) for key, value in (tags or {}).items()}
        with active_run_ended():
            run = _parent(name, params or {}, texts, resume)
            try:
                with orphans_ended(run.client, run.id), ending(run):
                    if resume:  # in here: from now on it is RUNNING
                        run_again(run.client, run.client.get_run(run.id))
                    run.params(params or {})
                    yield run
            finally:
                say(f"See it at {page(run.experiment, run.id)}")


def _parent(name: str, params: Mapping[str, object], tags: dict[str, str], resume: str | None) -> Run:
    impatient = connect()
    client = patient(impatient)
    if fresh := os.environ.get("MLFLOW_RUN_ID"):
        end_with_the_launcher()
    if resume:
        record = find(client, resume)
        if fresh:
            client.set_tag(fresh, "mlflow.note.content", f"Resumes run `{resume}`: see there.")
            client.set_tag(fresh, "resumes", resume)
        end_orphans(client, record)
    else:
        # with its tags from the first moment: a process that dies in the next is known by them
        try:
            record = mlflow.start_run(run_name=None if fresh else name, tags=tags)
        except MlflowException as error:  # MLFLOW_RUN_ID, or MLFLOW_EXPERIMENT_ID, names what is not there
            raise StoreError(f"no run can be started on {shown_uri()}: {reason_of(error)}") from error
    os.environ.pop("MLFLOW_RUN_ID", None)  # a worker process would write into this run
    named = {"mlflow.runName": name, **tags}
    client.log_batch(record.info.run_id, tags=[RunTag(key, value) for key, value in named.items()])
    record = client.get_run(record.info.run_id)
    refuse_artifacts_of_a_server(record)
    source = {key: value for key, value in record.data.tags.items() if key.startswith(SOURCE_TAGS)}
    return Run(impatient, record, Inherited(params, source | tags), reopened=bool(resume))
