"""The tracking server: reached, and asked for runs."""

import logging
import os

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run as Record
from mlflow.exceptions import MlflowException

from tracking.errors import ResumeError, StoreError
from tracking.patience import http_limits, reason_of, shown_uri, without_password


def hush() -> None:
    """Keep off the terminal what MLflow says of itself, in this process and those that it starts."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar a figure would bury ours
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a child, none as good as ours
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # "no pip found": uv makes none
    # a traceback where two processes write to SQLite at once: raised as well, and `retry` writes again
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def connect() -> MlflowClient:
    """Return a client of the tracking server. StoreError where it is not to be had within some seconds."""
    try:
        with http_limits(retries=2, seconds=20):
            client = MlflowClient()
            client.search_experiments(max_results=1)
    except Exception as error:  # whatever stands behind that address: HTTP, a database, a file system
        raise StoreError(
            f"the tracking server {shown_uri()} cannot be reached: start it, or set MLFLOW_TRACKING_URI to another "
            f"one (without that: sqlite:///mlflow.db in this folder). What was said: {reason_of(error)}"
        ) from error
    return client


def find(client: MlflowClient, run_id: str) -> Record:
    """Return the run of that id. ResumeError where there is none."""
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        raise ResumeError(f"no run {run_id!r} on {shown_uri()}") from error


def page(experiment: str, run_id: str) -> str:
    """Return the address of a run's page, on the server or on the one that the README starts on a local store.

    By its last part MLflow opens in its mode for training, not in the one for agents, which shows little of such a run.
    """
    uri = mlflow.get_tracking_uri()
    host = without_password(uri.rstrip("/")) if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{host}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"


def children(client: MlflowClient, experiment: str, parent: str, kind: str | None = None) -> list[Record]:
    """Return all runs below `parent`, oldest first, whatever their status; `kind` filters by that tag."""
    query = f"tags.mlflow.parentRunId = '{parent}'" + (f" and tags.kind = '{kind}'" if kind else "")
    found: list[Record] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment], query, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return found


def end_orphans(client: MlflowClient, parent: Record) -> None:
    """End what a killed process left RUNNING below `parent`."""
    for child in children(client, parent.info.experiment_id, parent.info.run_id):
        if child.info.status == "RUNNING":
            client.set_terminated(child.info.run_id, "KILLED")


def tagged(client: MlflowClient, experiment: str, key: str, value: str) -> list[Record]:
    """Return the runs of that experiment that have that tag, oldest first."""
    return list(client.search_runs([experiment], f"tags.{key} = '{value}'", order_by=["attributes.start_time ASC"]))


def end_killed(client: MlflowClient, record: Record) -> None:
    """End a run, and what is below it, that a killed process left RUNNING."""
    if record.info.status == "RUNNING":
        end_orphans(client, record)
        client.set_terminated(record.info.run_id, "KILLED")


def refuse_artifacts_of_a_server(record: Record) -> None:
    """Raise StoreError where the run's files go through a server, but this process talks to its database."""
    if record.info.artifact_uri.startswith("mlflow-artifacts:") and not mlflow.get_tracking_uri().startswith("http"):
        raise StoreError(
            f"figures and models of this experiment go through the MLflow server that made {shown_uri()}, and so must "
            "runs: start that server, and set MLFLOW_TRACKING_URI to its address, such as http://127.0.0.1:5000"
        )


def run_again(client: MlflowClient, record: Record) -> Record:
    """Return that run, RUNNING again, without the error that ended it."""
    client.update_run(record.info.run_id, status="RUNNING")
    if "error" in record.data.tags:
        client.delete_tag(record.info.run_id, "error")
    return record
