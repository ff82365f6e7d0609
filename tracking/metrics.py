"""Metrics on their way: sent in the background, so that training does not wait for the tracking server."""

import math
import threading
import time
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.entities import Run as Record
from mlflow.exceptions import MlflowException

from tracking.patience import hurried, is_away, retry


class Outbox:
    """The metrics of one run that have not reached the server yet."""

    def __init__(self, client: MlflowClient, run_id: str):
        self.client, self.run_id = client, run_id
        self._unsent: list[Metric] = []
        self._sender: threading.Thread | None = None
        self._refusal: MlflowException | None = None

    def add(self, metrics: list[Metric]) -> None:
        """Send these and whatever an absent server has left here; returns at once."""
        self._unsent += metrics
        if self._unsent and not (self._sender and self._sender.is_alive()):
            self._sender = threading.Thread(target=self._send, daemon=True)  # at its end a process waits for no daemon
            self._sender.start()

    def flush(self) -> None:
        """Wait until all have reached the server. Raises what it refuses, StoreError where it stays away."""
        while self._sender and self._sender.is_alive() and not hurried():
            self._sender.join(0.1)
        if self._refusal:
            refusal, self._refusal, self._unsent = self._refusal, None, []
            raise refusal
        if batch := self._unsent[:]:  # it may be that the thread sends them too: a store keeps equal values once
            retry(lambda: self.client.log_batch(self.run_id, metrics=batch))
            del self._unsent[: len(batch)]

    def _send(self) -> None:
        while batch := self._unsent[:]:
            try:
                self.client.log_batch(self.run_id, metrics=batch, synchronous=True)
            except MlflowException as error:
                if not is_away(error):
                    self._refusal = error
                return
            del self._unsent[: len(batch)]


def as_metrics(values: Mapping[str, float], step: int) -> list[Metric]:
    """Return MLflow's metrics. `inf` is stored by SQL back ends as 1.8e308, which no chart survives: it becomes nan."""
    now = int(time.time() * 1000)
    finite = {key: float(value) if math.isfinite(value) else math.nan for key, value in values.items()}
    return [Metric(key, value, now, step) for key, value in finite.items()]


def logged_steps(client: MlflowClient, record: Record) -> set[tuple[str, int]]:
    """Return key and step of every metric that the run has."""
    run_id = record.info.run_id
    return {(key, metric.step) for key in record.data.metrics for metric in client.get_metric_history(run_id, key)}
