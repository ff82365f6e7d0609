"""What a zoo trains: each network by a recipe, with a seed; how that is called, and its plan."""

from dataclasses import dataclass, replace

from dl.recipes import ZOO, Plan
from dl.recipes.document import ABLATION, DOCUMENT, shrunk
from entrypoints.svhn_zoo.options import ZooOptions


@dataclass(frozen=True)
class Variant:
    """One network by one recipe, with the seed of its plan.

    network: a key of ZOO. recipe: "tuned" (ours, as shipped), "found" (by a search around that), "document", or an arm
    of the document's ablation, a key of ABLATION.
    """

    network: str
    recipe: str
    plan: Plan

    @property
    def seed(self) -> int:
        return self.plan.recipe.seed

    @property
    def is_tuned(self) -> bool:
        return self.recipe in ("tuned", "found")

    @property
    def is_ablation(self) -> bool:
        return self.recipe in ABLATION

    @property
    def entry(self) -> tuple[str, str]:
        """Return what one row of the table is about: all seeds, and of our recipe the shipped or the found one."""
        return self.network, "tuned" if self.is_tuned else self.recipe

    @property
    def title(self) -> str:
        """Return what figures and tables call it."""
        return ZOO[self.network].title + ("" if self.is_tuned else f", {self.recipe}")

    @property
    def run_name(self) -> str:
        """Return the name of its child run, which tells this training from all others."""
        return ", ".join([ZOO[self.network].title, *self._recipe, f"seed {self.seed}"])

    @property
    def former_run_name(self) -> str:
        """Return what an earlier version of this project called its child run."""
        return " / ".join([self.network, *self._recipe, "svhn_zoo", f"seed {self.seed}"])

    @property
    def folder(self) -> str:
        """Return the name of the folder of its checkpoints."""
        return "-".join([self.network, *self._recipe, f"seed{self.seed}"]).replace(" ", "-")

    @property
    def metric(self) -> str:
        """Return as what the parent run has its test accuracy; MLflow draws what stands before / as a group."""
        network, recipe = self.entry
        return f"test_accuracy/{network}" + (f" {recipe}" if recipe != "tuned" else "")

    @property
    def _recipe(self) -> list[str]:
        return [self.recipe] * (self.recipe != "tuned")


def choose_variants(options: ZooOptions) -> list[Variant]:
    """Return all that is to be trained, seeds of an entry side by side.

    Raises ValueError where `options.images` are fewer than one batch, or the document has no recipe for a network.
    """
    if options.recipe != "tuned" and (others := [name for name in options.networks if name not in DOCUMENT]):
        raise ValueError(
            f"--recipe {options.recipe}: the document has none for {', '.join(others)}: leave --models to its six"
        )
    found = []
    for network in options.networks:
        recipes = {"tuned": ["tuned"], "document": ["document"], "both": ["document", "tuned"]}[options.recipe]
        if options.recipe == "both" and network == "alexnet":
            recipes = [*recipes, *ABLATION]
        for recipe in recipes:
            for seed in range(options.seed, options.seed + options.seeds):
                plan = shipped_plan(network, recipe, options.preset, seed)
                changed = replace(plan.recipe, epochs=options.epochs or plan.recipe.epochs)
                if options.images and options.images < changed.batch_size:
                    raise ValueError(
                        f"--images {options.images} are fewer than one batch of {network}: at least "
                        f"{changed.batch_size}"
                    )
                found.append(
                    Variant(network, recipe, replace(plan, recipe=changed, images=options.images or plan.images))
                )
    return found


def shipped_plan(network: str, recipe: str, preset: str, seed: int) -> Plan:
    """Return the plan as the preset ("full" or "quick") has it, with that seed."""
    if recipe == "tuned":
        plan = getattr(ZOO[network], preset)
    else:
        plan = DOCUMENT[network] if recipe == "document" else ABLATION[recipe]
        plan = plan if preset == "full" else shrunk(plan)
    return replace(plan, recipe=replace(plan.recipe, seed=seed))
