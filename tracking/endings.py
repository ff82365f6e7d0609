"""How runs end: as their blocks do."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking.errors import StoreError
from tracking.patience import reason_of, say
from tracking.store import end_orphans

if TYPE_CHECKING:
    from tracking.run import Run


@contextmanager
def ending(run: "Run") -> Iterator[None]:
    """End `run` with the status that its block earned, after its last metric has arrived."""
    try:
        yield
        run.flush()
        run.end("FINISHED" if run.failure is None else "FAILED")
    except BaseException as error:
        status = status_after(error)
        last = {"metrics": run.flush, f"status {status}": lambda: run.end(status)}
        if status == "FAILED":
            why = {"error": f"{type(error).__name__}: {error}"[:4000]}
            last = {"error": lambda: run.tags(why)} | last
        unwritten = {}
        for what, write in last.items():
            try:
                write()
            except (MlflowException, StoreError) as reason:  # which must not take the place of `error`
                unwritten[what] = reason_of(reason)
        if unwritten:
            say(f"Not written to run {run.name} ({run.id}): {', '.join(unwritten)}. {list(unwritten.values())[-1]}")
        raise


def status_after(error: BaseException) -> str:
    """Return the status of a run whose block this has ended: a signal has killed it."""
    return "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"


@contextmanager
def active_run_ended() -> Iterator[None]:
    """End the run that the block has made MLflow's active one, where an error ends the block and nothing else ends it.

    Such as a signal's, in the moment after the run was created: mlflow by itself ends it FINISHED at exit.
    """
    before = mlflow.active_run()
    try:
        yield
    except BaseException as error:
        if mlflow.active_run() not in (None, before):
            with suppress(MlflowException):
                mlflow.end_run(status_after(error))
        raise


@contextmanager
def orphans_ended(client: MlflowClient, run_id: str) -> Iterator[None]:
    """End what is left RUNNING below that run where an error ends the block.

    Such as a child that a signal met between its creation and the block that would end it.
    """
    try:
        yield
    except BaseException:
        with suppress(MlflowException, StoreError):  # which must not take the place of the error
            end_orphans(client, client.get_run(run_id))
        raise
