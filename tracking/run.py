"""MLflow runs: one parent a command, one child a network, trial or repeat.

`start` adopts the run that `mlflow run` has made or creates one; `Run.child` nests below it. However a block ends, its
run ends: FINISHED, FAILED (an exception), KILLED (Ctrl-C, SIGTERM). A child carries its parent's parameters and
tags as well, because the UI's filters would otherwise hide it.

A process that dies of kill -9 leaves its runs RUNNING. `start(resume=...)` opens the parent again and `Run.child` the
children, by name; what they hold already is not written twice. So a resumed command logs as if from its start.
"""

import ctypes
import json
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as Record
from mlflow.exceptions import MlflowException

PATIENCE = 600  # seconds that a store may be away beyond what mlflow's client itself waits (four minutes over HTTP)
AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")  # mlflow's codes for no connection, and for a locked database
SOURCE_TAGS = ("mlflow.source.", "mlflow.user", "mlflow.project.")  # who and what code: same for children


class Run:
    """One MLflow run, open for logging. Made by `start` and `Run.child`."""

    def __init__(
        self,
        client: MlflowClient,
        record: Record,
        inherited: Mapping[str, Mapping[str, str]],
        reopened: bool = False,
    ):
        self.client = client
        self.id = record.info.run_id
        self.name = record.info.run_name
        self.experiment = record.info.experiment_id
        self._params = dict(record.data.params)
        self._inherit = inherited  # {"params": ..., "tags": ...} for the children
        self._pending: list = []  # asynchronous writes under way: (metrics, mlflow's future)
        self._stored = stored(client, record) if reopened else set()
        self._earlier: dict[str, Record] = {}
        if reopened:
            self.reread()
        self._failure: str | None = None

    # --- parameters, tags, metrics -------------------------------------------------------------------------------

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters. Keys that stand already keep their value: `mlflow run` logs the raw text first."""
        new = {key: str(value) for key, value in values.items() if key not in self._params}
        self._params |= new
        if new:
            self.client.log_batch(self.id, params=[Param(key, value) for key, value in new.items()])

    def tags(self, values: Mapping[str, object]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of one step in one call, without waiting for the store. A resumed run keeps what it has."""
        batch = as_metrics({key: value for key, value in values.items() if (key, step) not in self._stored}, step)
        if batch:
            self._pending.append((batch, self.client.log_batch(self.id, metrics=batch, synchronous=False)))

    def flush(self) -> None:
        """Wait until every metric has reached the store, which may be away for a while; raises what it refuses."""
        while self._pending:
            batch, writing = self._pending.pop(0)
            try:
                writing.wait()
            except MlflowException:  # the very same values again: a store keeps them once
                insist(lambda batch=batch: self.client.log_batch(self.id, metrics=batch))

    def fail(self, reason: str) -> None:
        """This run is to end FAILED, for `reason` (tag `error`), although its block ends well."""
        self._failure = reason
        self.tags({"error": reason})

    # --- artifacts -----------------------------------------------------------------------------------------------

    def figure(self, path: str, figure) -> None:
        self.client.log_figure(self.id, figure, path)

    def log_table(self, path: str, rows: list[dict]) -> None:
        """Log a list of dicts as a table that the UI shows and compares; replaces one of that name."""
        keys = dict.fromkeys(key for row in rows for key in row)  # a failed network's row lacks most
        columns = {key: [row.get(key) for row in rows] for key in keys}
        if path in {item.path for item in self.client.list_artifacts(self.id)}:  # log_table appends
            self.client.log_text(self.id, json.dumps({"columns": list(columns), "data": []}), path)
        self.client.log_table(self.id, columns, path)

    def log_json(self, path: str, content: dict | list) -> None:
        self.client.log_dict(self.id, content, path)

    def text(self, path: str, content: str) -> None:
        self.client.log_text(self.id, content, path)

    def file(self, path: str | Path, folder: str | None = None) -> None:
        self.client.log_artifact(self.id, str(path), folder)

    def note(self, markdown: str) -> None:
        """The description that the UI shows on top of the run."""
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

    # --- children ------------------------------------------------------------------------------------------------

    @contextmanager
    def child(
        self, name: str, params: Mapping[str, object] | None = None, tags: Mapping[str, object] | None = None
    ) -> Iterator["Run"]:
        """A nested run; it ends when the block ends, however that ends.

        Where this run is a resumed one that has a child of that name, the child is opened again.
        """
        earlier = self._earlier.pop(name, None)
        record = reopen(self.client, earlier) if earlier else self._create(name, tags or {})
        inherited = {
            "params": self._inherit["params"] | (params or {}),
            "tags": self._inherit["tags"] | (tags or {}),
        }
        child = Run(self.client, record, inherited, reopened=earlier is not None)
        with _ending(child):
            child.params(inherited["params"])
            yield child

    def record(
        self,
        name: str,
        params: Mapping[str, object],
        tags: Mapping[str, object],
        series: Iterable[tuple[int, Mapping[str, float]]] = (),
        final: Mapping[str, float] | None = None,
        status: str = "FINISHED",
    ) -> str:
        """Write a child that is over already in three calls; returns its run id.

        series: (step, metrics) pairs; final: metrics without a step.
        """
        record = self._create(name, tags)
        values = [metric for step, metrics in series for metric in as_metrics(metrics, step)]
        self.client.log_batch(
            record.info.run_id,
            metrics=values + as_metrics(final or {}, 0),
            params=[Param(key, str(value)) for key, value in (self._inherit["params"] | params).items()],
        )
        self.client.set_terminated(record.info.run_id, status)
        return record.info.run_id

    def result(self, name: str, path: str) -> dict | None:
        """The JSON artifact of the child `name` that was over before this run was resumed; None where there is none."""
        earlier = self._earlier.get(name)
        if earlier is None or earlier.info.status not in ("FINISHED", "FAILED"):
            return None
        try:
            return mlflow.artifacts.load_dict(f"runs:/{earlier.info.run_id}/{path}")
        except (MlflowException, OSError):
            return None

    def reread(self) -> None:
        """From here on `child` opens again what there is now, not only what an earlier process has made."""
        self._earlier = {child.info.run_name: child for child in self.children()}

    def view(self, run_id: str) -> "Run":
        """Another run, to add to without opening it: its status stays."""
        return Run(self.client, self.client.get_run(run_id), self._inherit)

    def tag(self, key: str) -> str | None:
        return self.client.get_run(self.id).data.tags.get(key)

    def children(self, kind: str | None = None) -> list[Record]:
        """All children of this run, whatever their status, oldest first; `kind` filters by that tag."""
        return children(self.client, self.experiment, self.id, kind)

    def _create(self, name: str, tags: Mapping[str, object]) -> Record:
        tags = self._inherit["tags"] | tags | {"mlflow.parentRunId": self.id}
        return self.client.create_run(
            self.experiment, run_name=name, tags={key: str(value) for key, value in tags.items()}
        )


@contextmanager
def start(
    name: str,
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    resume: str | None = None,
) -> Iterator[Run]:
    """The parent run of one command.

    Adopts the run of `mlflow run` (MLFLOW_RUN_ID) or creates one. With `resume` (a run id) that run is opened
    again, its children that a dead process left RUNNING are ended as KILLED, and the run that `mlflow run` made for
    this command only points to it. Raises LookupError where `resume` names no run, SystemExit with one line where the
    tracking server is not to be had.
    """
    params, tags = params or {}, {key: str(value) for key, value in (tags or {}).items()}
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar a figure would bury ours
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # "no pip found": uv makes none
    client = connect()
    if fresh := os.environ.get("MLFLOW_RUN_ID"):
        end_with_the_launcher()
    if resume:
        record = find(client, resume)
        if fresh:
            client.set_tag(fresh, "mlflow.note.content", f"Resumes run `{resume}`: see there.")
            client.set_tag(fresh, "resumes", resume)
        reopen(client, record)
        end_orphans(client, record)
    else:
        # with its tags from the first moment: a process that dies in the next is known by them
        record = mlflow.start_run(run_name=None if fresh else name, tags=tags)
    os.environ.pop("MLFLOW_RUN_ID", None)  # a worker process would write into this run
    tags = {"mlflow.runName": name, **tags}
    client.log_batch(record.info.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    record = client.get_run(record.info.run_id)
    source = {key: value for key, value in record.data.tags.items() if key.startswith(SOURCE_TAGS)}
    del tags["mlflow.runName"]
    run = Run(client, record, {"params": params, "tags": source | tags}, reopened=bool(resume))
    with signals_end_the_block(), _ending(run):
        run.params(params)
        yield run


@contextmanager
def _ending(run: Run) -> Iterator[None]:
    """End `run` with the status that its block earned, after its last metric has arrived."""
    status = "FINISHED"
    try:
        yield
        run.flush()
        if run._failure is not None:
            status = "FAILED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    except BaseException as error:
        status = "FAILED"
        with suppress(MlflowException):
            run.tags({"error": f"{type(error).__name__}: {error}"[:4000]})
        raise
    finally:
        with suppress(MlflowException):
            run.flush()
        active = mlflow.active_run()
        if active is not None and active.info.run_id == run.id:
            mlflow.end_run(status)
        else:
            run.client.set_terminated(run.id, status)


def end_with_the_launcher() -> None:
    """Have SIGTERM sent to this process when `mlflow run` dies: a killed launcher would leave it training unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


@contextmanager
def signals_end_the_block() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise once; what comes later (mlflow's own clean-up sends more) must not break ours."""

    def handle(number: int, _frame) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    before = {}
    with suppress(ValueError):  # not in the main thread: then the caller's handlers stay
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def impatient() -> Iterator[None]:
    """Two more tries within some seconds, where mlflow's client takes four minutes."""
    names = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def connect() -> MlflowClient:
    """A client of the tracking server; ends the program with one line where that is not to be had."""
    where = without_password(mlflow.get_tracking_uri())
    try:
        with impatient():
            client = MlflowClient()
            client.search_experiments(max_results=1)
    except Exception as error:  # whatever stands behind that address: HTTP, a database, a file system
        reason = without_password((str(error).splitlines() or [type(error).__name__])[0])
        sys.exit(  # a line and no traceback in any command, and no run: it is a store that is missing
            f"Error: the tracking server {where} cannot be reached: start it, or set MLFLOW_TRACKING_URI to another "
            f"one (without that: sqlite:///mlflow.db in this folder). What was said: {reason.strip()}"
        )
    return client


def without_password(uri: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", uri)


def find(client: MlflowClient, run_id: str) -> Record:
    """The run of that id; LookupError with one clear line where there is none."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        raise LookupError(f"no run {run_id!r} on {without_password(mlflow.get_tracking_uri())}") from error


def children(client: MlflowClient, experiment: str, parent: str, kind: str | None = None) -> list[Record]:
    query = f"tags.mlflow.parentRunId = '{parent}'" + (f" and tags.kind = '{kind}'" if kind else "")
    found, token = [], None
    while True:
        page = client.search_runs(
            [experiment], query, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def reopen(client: MlflowClient, record: Record) -> Record:
    """That run, RUNNING again, without the error that ended it."""
    client.update_run(record.info.run_id, status="RUNNING")
    if "error" in record.data.tags:
        client.delete_tag(record.info.run_id, "error")
    return record


def stored(client: MlflowClient, record: Record) -> set[tuple[str, int]]:
    """Key and step of every metric that the run has."""
    run_id = record.info.run_id
    return {(key, metric.step) for key in record.data.metrics for metric in client.get_metric_history(run_id, key)}


def insist(write: Callable[[], None]) -> None:
    """Call `write` until the store takes it: for PATIENCE seconds where the store is away, else once."""
    end, pause = time.monotonic() + PATIENCE, 0.5
    while True:
        try:
            return write()
        except MlflowException as error:
            if error.error_code not in AWAY or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 30)


def end_orphans(client: MlflowClient, parent: Record) -> None:
    """End what a killed process left RUNNING below `parent`."""
    for child in children(client, parent.info.experiment_id, parent.info.run_id):
        if child.info.status == "RUNNING":
            client.set_terminated(child.info.run_id, "KILLED")


def as_metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    """`inf` is stored by SQL back ends as 1.8e308, which no chart survives: not-a-number says it better."""
    now = int(time.time() * 1000)
    finite = {key: float(value) if math.isfinite(value) else math.nan for key, value in values.items()}
    return [Metric(key, value, now, step) for key, value in finite.items()]
