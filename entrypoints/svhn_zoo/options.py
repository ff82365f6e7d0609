"""What svhn_zoo was asked for, and what becomes of it on this machine."""

from dataclasses import dataclass, replace

import torch

from dl.device import pick_device
from dl.recipes import ZOO
from dl.tuning import Cluster, pick_cluster


@dataclass(frozen=True)
class ZooOptions:
    """The command line's options; the fields have their names."""

    models: str
    dataset: str
    data_dir: str
    extra: bool
    preset: str
    recipe: str
    epochs: int
    images: int
    seed: int
    seeds: int
    device: str
    search: int
    engine: str
    cpus_per_trial: float
    gpus_per_trial: float

    @property
    def networks(self) -> list[str]:
        """Return the networks that `models` names, each once. ValueError where it names an unknown one, or none."""
        names = list(ZOO) if self.models == "all" else [name.strip() for name in self.models.split(",") if name.strip()]
        if unknown := [name for name in names if name not in ZOO]:
            raise ValueError(f"--models: unknown network {', '.join(unknown)}: known are {', '.join(ZOO)}, and all")
        if not names:
            raise ValueError(f"--models names no network: known are {', '.join(ZOO)}, and all")
        return list(dict.fromkeys(names))

    def resolve(self) -> tuple["ZooOptions", torch.device, Cluster | None]:
        """Return the options with their preset chosen, the device, and the cluster that trains (None: this process).

        Raises ValueError where options contradict each other, or the device is not there.
        """
        cluster = pick_cluster(self.engine, self.cpus_per_trial, self.gpus_per_trial, self.device)
        device = pick_device(cluster.device if cluster else self.device)
        automatic = "full" if device.type == "cuda" else "quick"
        return replace(self, preset=automatic if self.preset == "auto" else self.preset), device, cluster
