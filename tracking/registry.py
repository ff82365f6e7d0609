"""Registered models: exported with their preprocessing, loadable without this project's code, on any device."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import mlflow
import numpy as np
import torch
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, infer_signature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import Schema, TensorSpec
from torch import nn

from tracking.run import Run

CHAMPION = "champion"


def register(
    run: Run,
    module: nn.Module,
    name: str,
    example: np.ndarray,
    val_accuracy: float,
    tags: Mapping[str, object] | None = None,
    also: str | None = None,
) -> str:
    """Log `module` under `run` and register it as `name`; returns the version.

    A run has one version of each name: where an earlier process was killed in here, its versions are found again.

    module: takes raw input, returns logits; left on the CPU in eval mode, which is what deployment needs.
    example: raw input, two rows at least (one row would freeze the batch size at 1).
    val_accuracy: 0..1; the alias `champion` moves here only if the champion's is lower.
    also: a second registered model that the same weights compete for (the best of a whole zoo).

    The file is a `torch.export` program (pt2): no pickle, no class of ours. mlflow.pyfunc puts its input on CUDA
    where there is one and refuses a program that was exported on another device, so we export on the CPU and say so
    in the model's own config: it predicts on every host, and `mlflow.pytorch.load_model(uri).to("cuda")` moves it,
    since no device is baked into the graph. `extra_files/state_dict.pt` is for fine-tuning in the original class.
    """
    if len(example) < 2:
        raise ValueError("the input example needs two rows at least: one row freezes the batch size")
    names = list(filter(None, (name, also)))
    versions = {each: found for each in names if (found := _version_of(run, each))}
    uri = versions[name].source if name in versions else _log(run, module, example)
    tags = {"val_accuracy": float(val_accuracy), **(tags or {})}  # all digits: rounded down, an equal one would win
    for each in names:
        version = versions[each] = versions.get(each) or _create_version(run, each, uri, tags)
        if val_accuracy > _champion_accuracy(run, each):
            run.client.set_registered_model_alias(each, CHAMPION, version.version)
    return str(versions[name].version)


def _log(run: Run, module: nn.Module, example: np.ndarray) -> str:
    """Export `module` as a logged model of `run`; returns its URI."""
    # pt2 writes dense tensors: channels_last weights would draw a warning each and a copy
    module = module.to("cpu", memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        logits = module(torch.from_numpy(example)).numpy()
    with TemporaryDirectory() as folder:
        weights = Path(folder, "state_dict.pt")
        torch.save(module.state_dict(), weights)
        info = Model.log(
            artifact_path=None,
            flavor=SimpleNamespace(save_model=_save_for_any_device),
            flavor_name="pytorch",
            name="model",
            run_id=run.id,
            pytorch_model=module,
            input_example=example,
            signature=infer_signature(example, logits),
            serialization_format="pt2",
            extra_files=[str(weights)],
            pip_requirements=[
                f"mlflow=={mlflow.__version__}",
                f"torch=={torch.__version__.split('+')[0]}",
                f"numpy=={np.__version__}",
            ],
        )
    return info.model_uri


def pull(uri: str, shape: tuple[int, ...], dtype: str) -> tuple[PyFuncModel, dict[str, str]]:
    """A model that takes arrays (N, *shape) of `dtype`, and the tags of the run that trained it, where it still stands.

    uri: `models:/NAME@champion`, `models:/NAME/VERSION`, `runs:/...` or a folder. LookupError, with one line that lists
    the registered models, where there is no such model or it takes something else.
    """
    client = mlflow.MlflowClient()
    try:
        model = mlflow.pyfunc.load_model(uri)
        schema = model.metadata.get_input_schema()
    except Exception as error:  # a URI may fail in any library that stands behind it
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LookupError(f"no model {uri!r}: {reason}. {_registered(client)}") from error
    if schema is None or schema != Schema([TensorSpec(np.dtype(dtype), (-1, *shape))]):
        raise LookupError(f"{uri!r} takes {schema}, not {dtype} arrays (N, {', '.join(map(str, shape))})")
    try:
        return model, client.get_run(model.metadata.run_id).data.tags
    except MlflowException:
        return model, {}


def _registered(client: mlflow.MlflowClient) -> str:
    names = sorted(model.name for model in client.search_registered_models(max_results=1000))
    where = mlflow.get_tracking_uri()
    return f"Registered on {where}: {', '.join(names)}" if names else f"Nothing is registered on {where}"


def _save_for_any_device(path: str, mlflow_model: Model, **kwargs) -> None:
    mlflow.pytorch.save_model(path=path, mlflow_model=mlflow_model, **kwargs)
    mlflow_model.flavors["python_function"]["config"] = {"device": "cpu"}
    mlflow_model.save(str(Path(path, "MLmodel")))


def _version_of(run: Run, name: str) -> ModelVersion | None:
    found = run.client.search_model_versions(f"name = '{name}' and run_id = '{run.id}'")
    return found[0] if found else None


def _create_version(run: Run, name: str, uri: str, tags: Mapping[str, object]) -> ModelVersion:
    try:
        run.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {key: str(value) for key, value in tags.items()}
    model_id = uri.removeprefix("models:/")  # a server refuses a source that it is not told whose it is
    return run.client.create_model_version(name, uri, run_id=run.id, tags=tags, model_id=model_id)


def _champion_accuracy(run: Run, name: str) -> float:
    """Validation accuracy of the champion; below every accuracy where there is none yet.

    MlflowException where the store does not say: what it fails to tell must not cost the champion its place.
    """
    try:
        champion = run.client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model, no alias
            raise
        return -1.0
    return float(champion.tags.get("val_accuracy", -1.0))
