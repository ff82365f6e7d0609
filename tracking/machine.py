"""The machine under a run: processor, memory and GPUs, as the UI's tab "System metrics" shows them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow import MlflowClient
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

from tracking.metrics import Outbox, as_metrics
from tracking.run import Run

SAMPLE_SECONDS = 5.0  # of MLflow's own ten a short training would have one sample


@contextmanager
def machine_watched(run: Run) -> Iterator[None]:
    """Log what MLflow's own monitors say of the machine to `run` while the block lasts, its seconds as the step.

    MLflow's thread around them would end for good when the server is away for a moment.
    """
    monitors: list[BaseMetricsMonitor] = [CPUMonitor()]
    with suppress(ImportError, RuntimeError):  # no driver of NVIDIA's, or no GPU
        monitors.append(GPUMonitor())
    began = run.client.get_run(run.id).info.start_time / 1000
    outbox, ended = Outbox(MlflowClient(), run.id), threading.Event()

    def watch() -> None:
        over = False
        monitors[0].collect_metrics()  # a processor's load is that since it was last asked for
        while not over:
            over = ended.wait(SAMPLE_SECONDS)
            values: dict[str, float] = {}
            for monitor in monitors:
                monitor.clear_metrics()
                monitor.collect_metrics()
                values |= monitor.aggregate_metrics()
            outbox.add(as_metrics({f"system/{key}": value for key, value in values.items()}, int(time.time() - began)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    outbox.flush()
