"""What digits_search was asked for."""

from dataclasses import dataclass

CONFIGURATIONS = 1400  # of table 1
ALGORITHMS = ("tpe", "random")


@dataclass(frozen=True)
class DigitsOptions:
    """The command line's options; the fields have their names."""

    trials: int = 30
    algo: str = "tpe"
    batch: int = 6
    repeats: int = 3
    epochs: int = 30
    seed: int = 0
    exhaustive: bool = False
    device: str = "auto"
    engine: str = "local"
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0

    @property
    def kind(self) -> str:
        return "grid" if self.exhaustive else "search"

    def refuse_idle(self, resume: str) -> None:
        """Raise ValueError where options contradict each other, or would do nothing.

        `mlflow run` passes every option: one that has its default was not asked for.
        """
        if self.exhaustive and resume:
            raise ValueError("--resume goes on with a search; --exhaustive has nothing to resume")
        if self.exhaustive and self.engine == "ray":
            raise ValueError("--engine ray is for the search; --exhaustive trains here")
        if self.exhaustive:
            idle = [f"--{name}" for name in ("trials", "algo") if getattr(self, name) != getattr(DigitsOptions, name)]
            if idle:
                raise ValueError(f"{' and '.join(idle)} would do nothing: --exhaustive trains every configuration")
        if self.engine == "ray" and self.batch != DigitsOptions.batch and not resume:
            raise ValueError("--batch would do nothing: on Ray trials are suggested one by one")
        if self.engine == "ray" and self.algo != "tpe":
            raise ValueError(f"--engine ray searches with tpe, not with {self.algo}")
