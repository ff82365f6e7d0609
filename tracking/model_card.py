"""The model card of a registered version: Markdown that MLflow's registry shows on the version's page."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from mlflow.entities import Dataset
from mlflow.entities import Run as Record


@dataclass(frozen=True)
class HeldOut:
    """The validation examples that decide between a champion and its challenger.

    name, digest: as the runs record the data, which they stand for where two are compared; x: raw input (N, ...), two
    rows at least; y: true labels (N,).
    """

    name: str
    digest: str
    x: np.ndarray = field(compare=False)
    y: np.ndarray = field(compare=False)


@dataclass(frozen=True)
class About:
    """What a model card says beyond the record of the run."""

    reads: str  # range and meaning of the input; shape and dtype are read off the data
    returns: str
    licence: str  # of the training data
    unfit: str  # what the model is not for
    recipe: Mapping[str, object]  # what decided the training


def datasets_of(record: Record) -> dict[str, Dataset]:
    """Return the data sets of a run by their context: "train", "val", "test"."""
    inputs = record.inputs.dataset_inputs if record.inputs else []
    return {tag.value: each.dataset for each in inputs for tag in each.tags}


def model_card(record: Record, about: About, val: HeldOut, val_accuracy: float, uri: str) -> str:
    """Return the card of the model that `record`'s run trained and `uri` loads.

    val_accuracy: 0..1, of the registered program on `val`; the test accuracy is the run's.
    """
    data, tags, params = datasets_of(record), record.data.tags, record.data.params
    sizes = {context: json.loads(each.profile or "{}")["num_rows"] for context, each in data.items()}
    lines = [f"- **Reads:** {val.x.dtype} `(N, {', '.join(map(str, val.x.shape[1:]))})`, {about.reads}"]
    lines.append(f"- **Returns:** {about.returns}")
    if "train" in data:
        source = json.loads(data["train"].source)["tags"]["mlflow.source.name"]
        lines.append(
            f"- **Trained on:** {data['train'].name}, {sizes['train']:,} examples, digest `{data['train'].digest}`; "
            f"source: {source}"
        )
    lines.append(
        f"- **Validation accuracy:** {with_error(val_accuracy, len(val.y))} of {len(val.y):,} examples ({val.name}, "
        f"digest `{val.digest}`)"
    )
    if "test" in data and "test_accuracy" in record.data.metrics:
        lines.append(
            f"- **Test accuracy:** {with_error(record.data.metrics['test_accuracy'], sizes['test'])} of "
            f"{sizes['test']:,} examples ({data['test'].name}, digest `{data['test'].digest}`)"
        )
    fields = ", ".join(f"{key} {value}" for key, value in about.recipe.items())
    lines.append(f"- **Recipe:** {': '.join(filter(None, (tags.get('recipe'), fields)))}")
    if "parameters" in params:
        lines.append(f"- **Parameters:** {int(params['parameters']):,}")
    lines += [
        f"- **Run:** {record.info.run_name} (`{record.info.run_id}`)",
        f"- **Licence of the data:** {about.licence}",
        f"- **Not for:** {about.unfit}",
    ]
    title = " on ".join(filter(None, (tags.get("network"), tags.get("dataset"))))
    # the title is plain text: the registry's list of versions shows the first line as it stands
    return "\n\n".join(filter(None, (title, "\n".join(lines), loading(uri))))


def with_error(accuracy: float, count: int) -> str:
    """Return an accuracy with its standard error over `count` examples, in percent."""
    return f"{accuracy:.2%} ± {math.sqrt(accuracy * (1 - accuracy) / count):.2%}"


def loading(uri: str) -> str:
    return f"""Load it, without the project's code:

```python
import mlflow

model = mlflow.pyfunc.load_model("{uri}")  # model.predict(array)
module = mlflow.pytorch.load_model("{uri}")  # a torch.nn.Module, on the CPU; module.to("cuda") moves it
```"""
