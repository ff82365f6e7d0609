"""Registered models: exported with their preprocessing, loadable without this project's code, on any device."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
import torch
from mlflow.entities import Dataset, LoggedModel, LoggedModelOutput, Metric
from mlflow.entities import Run as Record
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import Schema, TensorSpec
from torch import nn
from torch.export import ExportedProgram

from tracking.errors import StoreError
from tracking.model_card import About, HeldOut, datasets_of, model_card
from tracking.patience import http_limits, reason_of, retry, say, shown_uri
from tracking.run import Run

CHAMPION = "champion"
SCORED_AT_ONCE = 64  # examples scored at once: VGG-16's first maps of 224 px images are then 0.8 GB
TAGS = ("network", "dataset", "recipe")  # of the run, for its logged model too


def register(run: Run, module: nn.Module, names: tuple[str, ...], val: HeldOut, about: About) -> str:
    """Log `module` under `run`, register it under each of `names`, and let it compete there for the alias `champion`.

    Returns the version under the first name. Champion and challenger are compared on `val`, the challenger's own
    validation examples, by their exported programs on the CPU: the alias moves only where the challenger gets more of
    them right. A champion that cannot be loaded, or takes other input, keeps its place; a line on stderr says so. The
    version's tags say on what was compared: `val_digest`, `val_images`, `val_accuracy`, and the champion of that moment
    (`champion_version`, `champion_accuracy`); its description is a model card.

    All else that is recorded comes from the run: data sets, `test_*` and `val_*` metrics, parameters, and the tags
    `network` (names the logged model; otherwise the first of `names` does), `dataset` and `recipe`. Where an earlier
    process was killed in here, what it made is found again: a run has one logged model, and one version of each name.

    module: takes raw input, returns logits (N, classes), or (N,) of label 1; left on the CPU in eval mode, which is
    what deployment needs.

    The file is a `torch.export` program (pt2): no pickle, no class of ours. mlflow.pyfunc puts its input on CUDA
    where there is one and refuses a program that was exported on another device, so we export on the CPU and say so
    in the model's own config: it predicts on every host, and `mlflow.pytorch.load_model(uri).to("cuda")` moves it,
    since no device is baked into the graph. `extra_files/state_dict.pt` is for fine-tuning in the original class.
    """
    if len(val.x) < 2:
        raise ValueError("the input example needs two rows at least: one row freezes the batch size")
    run.flush()
    record = run.client.get_run(run.id)
    model = _logged_before(run) or _log(run, record, module, val.x[:2], names[0])
    _link_metrics(run, record, model, val)
    ours = _accuracy(model.model_uri, val)
    tags = {"val_digest": val.digest, "val_images": len(val.y), "val_accuracy": ours, "run": run.id}
    if "train" in (data := datasets_of(record)):
        tags["data_digest"] = data["train"].digest
    if "test_accuracy" in record.data.metrics:
        tags["test_accuracy"] = record.data.metrics["test_accuracy"]
    versions = []
    for name in names:
        version = _version(run, name, model, tags)
        card = model_card(record, about, val, ours, f"models:/{name}/{version.version}")
        run.client.update_model_version(name, version.version, card)
        _compete(run, version, ours, val)
        versions.append(version)
    return str(versions[0].version)


# ------------------------------------------------------------------------------------------ logged models


def _logged_before(run: Run) -> LoggedModel | None:
    """Return the model that an earlier process has logged whole; what it left half done ends as failed."""
    found = run.client.search_logged_models([run.experiment], f"source_run_id = '{run.id}'")
    for model in found:
        if model.status == "PENDING":
            run.client.finalize_logged_model(model.model_id, "FAILED")
    return next((model for model in found if model.status == "READY"), None)


def _log(run: Run, record: Record, module: nn.Module, example: np.ndarray, name: str) -> LoggedModel:
    """Export `module` as a logged model of `run`.

    These are the steps of `mlflow.pytorch.log_model`, each a public call: as one, it takes no run but the active one,
    and gives no chance to set the config's device between saving and uploading.
    """
    # pt2 writes dense tensors: channels_last weights would draw a warning each and a copy
    module = module.cpu().to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        logits = module(torch.from_numpy(example)).numpy()
    tags = {key: record.data.tags[key] for key in TAGS if key in record.data.tags}
    model = run.client.create_logged_model(run.experiment, tags.get("network", name), run.id, tags, record.data.params)
    try:
        run.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])
        with TemporaryDirectory() as folder:
            weights, path = Path(folder, "state_dict.pt"), Path(folder, "model")
            torch.save(module.state_dict(), weights)
            mlflow.pytorch.save_model(
                module,
                path,
                mlflow_model=Model(
                    artifact_path=model.artifact_location, run_id=run.id, model_id=model.model_id,
                    model_uuid=model.model_id,
                ),
                input_example=example,
                signature=infer_signature(example, logits),
                serialization_format="pt2",
                extra_files=[str(weights)],
                pip_requirements=[
                    f"mlflow=={mlflow.__version__}",
                    f"torch=={torch.__version__.split('+')[0]}",
                    f"numpy=={np.__version__}",
                ],
            )  # fmt: skip
            saved = Model.load(path)
            saved.flavors["python_function"]["config"] = {"device": "cpu"}
            saved.save(path / "MLmodel")
            run.client.log_model_artifacts(model.model_id, str(path))
    except Exception:
        run.client.finalize_logged_model(model.model_id, "FAILED")
        raise
    return run.client.finalize_logged_model(model.model_id, "READY")


def _link_metrics(run: Run, record: Record, model: LoggedModel, val: HeldOut) -> None:
    """Give the logged model the last `val_*` and `test_*` of its run, linked to the data that they were measured on.

    Without that, `search_logged_models` finds no number. Value, time and step are the run's own: it gets none twice.
    """
    data, links = datasets_of(record), []
    for key in record.data.metrics:
        context = key.partition("_")[0]
        if context not in ("val", "test"):
            continue
        last = max(run.client.get_metric_history(run.id, key), key=lambda metric: (metric.step, metric.timestamp))
        source: HeldOut | Dataset | None = val if context == "val" else data.get(context)
        links.append(
            Metric(
                key, last.value, last.timestamp, last.step, model_id=model.model_id, run_id=run.id,
                dataset_name=source.name if source else None, dataset_digest=source.digest if source else None,
            )
        )  # fmt: skip
    if links:
        run.client.log_batch(run.id, metrics=links)


# ------------------------------------------------------------------------------------------ versions and champions


def _version(run: Run, name: str, model: LoggedModel, tags: Mapping[str, object]) -> ModelVersion:
    """Return the run's version of `name`; made here where there is none."""
    try:
        run.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    texts, client = {key: str(value) for key, value in tags.items()}, mlflow.MlflowClient()

    def find_or_create() -> ModelVersion:
        found = client.search_model_versions(f"name = '{name}' and run_id = '{run.id}'")
        if found:
            return found[0]
        # model_id: a server refuses a source of which it is not told whose it is
        return client.create_model_version(name, model.model_uri, run.id, texts, model_id=model.model_id)

    with http_limits(retries=0):  # by itself MLflow's client would ask twice, where an answer is lost
        return retry(find_or_create)


def _compete(run: Run, challenger: ModelVersion, ours: float, val: HeldOut) -> None:
    """Move the alias to `challenger` where there is no champion, or one that gets fewer of `val` right.

    ours: the challenger's accuracy on those.
    """
    name, champion = challenger.name, _champion(run, challenger.name)
    if champion is not None:
        if champion.version == challenger.version:  # an earlier process was killed after it had won
            return
        uri, theirs = f"models:/{name}/{champion.version}", None
        try:
            theirs = _accuracy(champion.source or uri, val)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with a model of long ago: it was better once, and may be still
            say(f"{uri} stays champion, not compared: {reason_of(error)}")
        said = "not compared" if theirs is None else theirs
        for key, value in (("champion_version", champion.version), ("champion_accuracy", said)):
            run.client.set_model_version_tag(name, challenger.version, key, str(value))
        if theirs is None or ours <= theirs:
            return
    run.client.set_registered_model_alias(name, CHAMPION, challenger.version)


def _champion(run: Run, name: str) -> ModelVersion | None:
    """Return the champion; None where there is none yet.

    MlflowException where the store does not say: what it fails to tell must not cost the champion its place.
    """
    try:
        return run.client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model, no alias
            raise
        return None


# ------------------------------------------------------------------------------------------ loading and scoring


def pull(uri: str, shape: tuple[int, ...], dtype: str) -> tuple[PyFuncModel, dict[str, str]]:
    """Return a model that takes arrays (N, *shape) of `dtype`, and the tags of its run, where that still stands.

    uri: `models:/NAME@champion`, `models:/NAME/VERSION`, `runs:/...` or a folder. LookupError, with one line that lists
    the registered models, where there is no such model or it takes something else.
    """
    client = mlflow.MlflowClient()
    try:
        model = mlflow.pyfunc.load_model(uri)
    except Exception as error:  # a URI may fail in any library that stands behind it
        raise LookupError(f"no model {uri!r}: {reason_of(error).rstrip('.')}. {_registered(client)}") from error
    _check_input(model, uri, shape, dtype)
    try:
        return model, client.get_run(model.metadata.run_id).data.tags
    except MlflowException:
        return model, {}


def champions(client: mlflow.MlflowClient) -> list[str]:
    """Return the URIs of all champions; one that is champion under two names comes once, by its own, not its zoo's."""
    found: dict[str, str] = {}
    models = client.search_registered_models(max_results=1000)
    for name in sorted((model.name for model in models if CHAMPION in model.aliases), key=lambda n: ("-zoo" in n, n)):
        version = client.get_model_version_by_alias(name, CHAMPION)
        found.setdefault(str(version.source), f"models:/{name}@{CHAMPION}")
    return list(found.values())


def program_of(uri: str) -> ExportedProgram:
    """Return the exported program (pt2) of a model that `register` has logged. LookupError where there is none."""
    with TemporaryDirectory() as folder:
        files = list(Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder)).rglob("*.pt2"))
        if not files:
            raise LookupError(f"{uri!r} has no exported program: it is no network of this project")
        return torch.export.load(files[0])


def _check_input(model: PyFuncModel, uri: str, shape: tuple[int, ...], dtype: str) -> None:
    """Raise LookupError, in one line, where `model` does not take arrays (N, *shape) of `dtype`."""
    schema = model.metadata.get_input_schema()
    if schema is None or schema != Schema([TensorSpec(np.dtype(dtype), (-1, *shape))]):
        raise LookupError(f"{uri!r} takes {schema}, not {dtype} arrays (N, {', '.join(map(str, shape))})")


@lru_cache(maxsize=32)  # a zoo's networks meet the same champion one after the other, under two names
def _accuracy(uri: str, val: HeldOut) -> float:
    """Return the share of `val` that the model reads right: a whole number of examples, so equal ones are equal."""
    model, right = retry(lambda: mlflow.pyfunc.load_model(uri)), 0
    _check_input(model, uri, val.x.shape[1:], val.x.dtype.name)
    for at in range(0, len(val.y), SCORED_AT_ONCE):
        logits: np.ndarray = np.asarray(model.predict(val.x[at : at + SCORED_AT_ONCE]))
        answers = logits.argmax(1) if logits.ndim > 1 else logits > 0
        right += int(np.sum(answers == val.y[at : at + SCORED_AT_ONCE]))
    return right / len(val.y)


def _registered(client: mlflow.MlflowClient) -> str:
    names = sorted(model.name for model in client.search_registered_models(max_results=1000))
    return f"Registered on {shown_uri()}: {', '.join(names)}" if names else f"Nothing is registered on {shown_uri()}"
