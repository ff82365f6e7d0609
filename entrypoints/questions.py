"""What the command of a question leaves for the report. Each question is described beside its command."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """Runs of a command that a section's numbers and figures come from."""

    entry: str
    kind: str  # the runs' tag
    what: str
    figures: dict[str, str]  # file -> caption
    options: str = ""  # of the command that makes such a run
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)  # that the run must have
    extra: dict[str, str] = field(default_factory=dict)  # figures that not every such run has

    @property
    def command(self) -> str:
        """Return the command that makes such a run."""
        return " ".join(f"mlflow run . -e {self.entry} {self.options} --env-manager uv".split())


@dataclass(frozen=True)
class Question:
    """A question of the document."""

    number: int
    title: str
    answered: str  # the document's answer, in its words
    sources: tuple[Source, ...]  # the verdict on a claim is that of the first that tested it
    decisive: int = 0  # index of the source that can test all of its claims
