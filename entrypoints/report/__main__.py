"""The document, written again from the runs.

    mlflow run . -e report --env-manager uv

reads the tracking server and writes `outputs/report/`: report.html (one file, figures inside), report.md and its
figures; the run keeps a copy. The document's statements with their verdicts, then the four questions. Nothing
is trained: what has not been run says so and gives its command. Some seconds.
"""

import base64
import errno
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from itertools import product, takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from dl.claims import CLAIMS, VERDICTS, Claim
from dl.population import TABLE2, Config
from tracking.evidence import Evidence, best, parents, store
from tracking.run import start

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "h1": "neurons in hidden layer 1", "h2": "neurons in hidden layer 2", "lr": "learning rate of Adam",
    "dropout": "dropout rate", "activation": "activation",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a section's numbers and figures come from."""

    entry: str
    kind: str  # the runs' tag
    what: str
    figures: dict[str, str]  # file -> caption
    options: str = ""  # of the command that makes such a run
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)  # that the run must have
    extra: dict[str, str] = field(default_factory=dict)  # figures that not every such run has

    @property
    def command(self) -> str:
        return " ".join(f"mlflow run . -e {self.entry} {self.options} --env-manager uv".split())


@dataclass(frozen=True)
class Question:
    number: int
    title: str
    answered: str  # the document's answer, in its words
    sources: tuple[Source, ...]  # the first that tested a claim has the say
    decisive: int = 0  # the source that can test all of its claims


QUESTIONS = (
    Question(
        1,
        "Cross-entropy or squared error for logistic regression?",
        "cross-entropy loss function works best for the logistic regression, and its significance can be understood "
        "from Figure 1.",
        (
            Source(
                "loss_surfaces",
                "question",
                "surfaces, gradients and races",
                {
                    "surfaces.png": "Figure 1 of the document, drawn again: both losses over label and probability.",
                    "weights.png": "Both losses over two weights of a real problem, with the optimisers' paths.",
                    "speedups.png": "Who is faster, and is it beyond chance? Each loss with its own best learning "
                    "rate.",
                    "race_99.png": "Share of seeds that have not reached 99% of the best accuracy yet, over steps.",
                },
            ),
        ),
    ),
    Question(
        2,
        "Which loss guarantees a convex problem?",
        "Since neither CE loss nor MSE loss guarantees convexity, the correct answer is None.",
        (
            Source(
                "convexity",
                "question",
                "Hessian spectra and proven witnesses",
                {
                    "convexity.png": "Convex or not: each loss as a function of what.",
                    "witnesses.png": "The witnesses: between two points the loss lies above its chord.",
                },
            ),
        ),
    ),
    Question(
        3,
        "Which perceptron of table 1 is best on the digits?",
        "Table 2 presents the combination of the best hyper-parameters obtained through tuning.",
        (
            Source(
                "digits_search",
                "grid",
                "all 1,400 configurations of table 1",
                {
                    "ranks.png": "All configurations in order, with their intervals.",
                    "marginals.png": "What each hyper-parameter does.",
                    "regret.png": "What a search leaves on the table, after so many trials.",
                },
                "-P exhaustive=True",
            ),
            Source("digits_search", "search", "hyperopt's search", {"search.png": "The search and its finalists."}),
        ),
    ),
    Question(
        4,
        "Six networks on SVHN",
        "ResNet-18 displays a robust performance … While both ResNet-50 and ResNet-101 exhibit notable enhancements "
        "over time, their performances do not surpass that of ResNet-18.",
        (
            Source(
                "svhn_zoo",
                "zoo",
                "our recipes",
                {"comparison.png": "Accuracy over epochs and over time, against size and against cost."},
                tags={"recipe": ("tuned", "both")},
            ),
            Source(
                "svhn_zoo",
                "zoo",
                "the document's recipe",
                {"comparison.png": "The same networks, trained as the document trained them."},
                "-P recipe=both",
                {"recipe": ("document", "both")},
                {
                    "recipes.png": "Each network by the document's recipe and by ours.",
                    "ablation.png": "Why does AlexNet stick? The document's recipe with one thing changed at a time.",
                },
            ),
        ),
        decisive=1,
    ),
)
RULE = (
    "Chosen by rule, of the parent runs of each question in all experiments that came to their end: SVHN over "
    "generated data, all networks over some, runs with the default numbers of trials, seeds, steps, points, repeats, "
    "epochs and images (or more) over shorter ones, the full preset over the quick one, both recipes over one, runs "
    "without a failed network over those with one, then the latest."
)
BUDGETS = ("trials", "seeds", "steps", "points", "repeats", "epochs", "images")


def rank(entry: str, run: Evidence) -> tuple:
    """RULE as a key; the latest is added by `best`."""
    tags = run.tags
    return (
        tags.get("dataset") == "svhn",
        run.params.get("models", "all") == "all",
        not cut(entry, run.params),
        tags.get("preset") == "full",
        tags.get("recipe") == "both",
        run.status == "FINISHED",
    )


def cut(entry: str, params: dict[str, str]) -> bool:
    """Had this run less than its default budget? A default of 0 is the preset's own number: any other is a change."""
    budgets = {key: float(default) for key, default in defaults(entry).items() if key in BUDGETS}
    try:
        asked = {key: float(params.get(key, default)) for key, default in budgets.items()}
    except ValueError:  # nothing that this program writes
        return True
    return any(asked[key] < default or (asked[key] and not default) for key, default in budgets.items())


@click.command(help=__doc__)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("outputs/report"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
def main(out: Path) -> None:
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        if not os.access(out / "figures", os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise click.BadParameter(f"cannot write to {out}: {error.strerror}", param_hint="--out") from error
    with start("report", {"out": str(out)}, {"kind": "report"}) as run:
        markdown, html, figures = write()
        run.text("report.md", markdown)
        run.text("report.html", html)
        with TemporaryDirectory() as folder:
            for name, content in figures.items():
                path = Path(folder, name)
                path.write_bytes(content)
                run.file(path, "figures")
        run.note(markdown.split("\n## ", 1)[0])  # title and summary; the page itself is an artifact
        save(out, {"report.md": markdown.encode(), "report.html": html.encode()} | {
            f"figures/{name}": content for name, content in figures.items()
        })  # fmt: skip
    click.echo(f"{out / 'report.html'}\n{out / 'report.md'}")


def write() -> tuple[str, str, dict[str, bytes]]:
    """The report as Markdown, as a page of HTML, and the figures of both by name."""
    figures: dict[str, bytes] = {}
    chosen = {
        question.number: [examine(question, source, figures) for source in question.sources] for question in QUESTIONS
    }
    commands = {question.number: question.sources[question.decisive].command for question in QUESTIONS}
    rows = [verdict(claim, chosen[claim.question], commands[claim.question]) for claim in CLAIMS.values()]
    count = Counter(row["verdict"] for row in rows)
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"cell": as_cell, "plain": as_plain}
    markdown = templates.get_template("report.md.jinja").render(
        questions=QUESTIONS,
        chosen=chosen,
        claims=rows,
        summary=", ".join(f"{count[name]} {name}" for name in VERDICTS if count[name]),
        rule=RULE,
        store=store(),
        written=datetime.now(UTC),
        tables=tables_1_and_2(*(section["run"] for section in chosen[3])),
    )
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template(
        "report.html.jinja"
    )
    html = page.render(body=Markup(as_html(markdown, figures)))
    return without_html(markdown), html, figures


def as_cell(markdown: str) -> str:
    """Return inline Markdown as it may stand in a table's cell."""
    return " ".join(str(markdown).replace("|", "\\|").split())


def as_plain(text: str) -> str:
    """Return text that others chose (names, tags, parameters) as Markdown that shows it as it is, on one line."""
    one_line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", one_line)


def without_html(markdown: str) -> str:
    """Return the Markdown without live HTML, which many of its viewers would obey: tags become text."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", markdown)


def examine(question: Question, source: Source, figures: dict[str, bytes]) -> dict:
    """What a source has to say; its figures are added to `figures`."""
    candidates = parents(question.number, source.kind, **source.tags)
    run = best(candidates, partial(rank, source.entry))
    shown, missing = [], []
    for file, caption in (source.figures | source.extra).items() if run else ():
        name = f"{source.entry}-{run.id[:8]}-{file}"
        if name in figures:  # shown by another section
            continue
        content = run.file(file)
        if content is not None:
            figures[name] = content
            shown.append({"path": f"figures/{name}", "caption": caption})
        elif file in source.figures:
            missing.append(file)
    return {
        "source": source,
        "run": run,
        "finished": sum(each.over for each in candidates),
        "attempt": candidates[0] if candidates and not run else None,
        "claims": judged(run) if run else {},
        "mark": mark(run) if run else "",
        "changed": changed(source.entry, run.params) if run else {},
        "answer": answer(run.note) if run else ("", ""),
        "figures": shown,
        "missing": missing,
    }


def judged(run: Evidence) -> dict[str, dict]:
    """Return the rows of the run's claims.json by claim; what is no verdict is left out."""
    rows = run.read_json("claims.json")
    return {
        row["claim"]: row
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
        and row.get("claim") in tuple(CLAIMS)
        and row.get("verdict") in VERDICTS
        and isinstance(row.get("reason"), str)
    }


def mark(run: Evidence) -> str:
    """What a reader must know before believing a number."""
    dataset, preset = run.tags.get("dataset", ""), run.tags.get("preset", "full")
    remarks = [f"generated {as_plain(dataset)}"] * (run.tags["question"] == "4" and dataset != "svhn")
    remarks += [f"{as_plain(preset)} preset"] * (preset != "full")
    if not remarks:
        return ""
    return ("**NOT SVHN**" if dataset != "svhn" else "**NOT FULL**") + f" ({', '.join(remarks)})"


@cache
def defaults(entry: str) -> dict[str, str]:
    """MLproject's defaults, but for what decides nothing of the result."""
    parameters = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"][entry]["parameters"]
    return {key: str(spec["default"]) for key, spec in parameters.items() if key not in ("device", "resume")}


def changed(entry: str, params: dict[str, str]) -> dict[str, str]:
    """The options that this run had otherwise than MLproject's defaults."""

    def plain(value: str) -> str | float:
        try:
            return float(value)  # 1.0 is 1
        except ValueError:
            return value

    return {key: params[key] for key, value in defaults(entry).items() if plain(params.get(key, value)) != plain(value)}


def answer(note: str) -> tuple[str, str]:
    """A run's note in two: what it says in bold, to stand before the figures, and the rest.

    Its table of claims is left out: they all stand in the one on top.
    """
    blocks = [block for block in note.split("\n\n") if not block.startswith("| claim |")]
    bold = max(1, len(list(takewhile(lambda block: block.startswith("**"), blocks))))
    return "\n\n".join(blocks[:bold]), "\n\n".join(blocks[bold:])


def verdict(claim: Claim, sections: list[dict], command: str) -> dict:
    """A claim's row: from the first of the question's runs that tested it, else why none did; `command` would."""
    judged = [(section, section["claims"][claim.id]) for section in sections if claim.id in section["claims"]]
    tested = [pair for pair in judged if pair[1]["verdict"] != "not tested"]
    section, found = next(iter(tested or judged), (None, {"verdict": "not tested", "reason": "Not tested yet."}))
    return {
        "claim": claim,
        "section": section,
        "verdict": found["verdict"],
        "reason": found["reason"],
        "command": command,
    }


def tables_1_and_2(grid: Evidence | None, search: Evidence | None) -> dict | None:
    """Table 1 with how often each value may be best, table 2 beside our winner; None where nothing was run."""
    run = grid or search
    if run is None or "table1" not in run.tags:
        return None
    space = json.loads(run.tags["table1"])
    configs = {str(config): config for config in (Config(*values) for values in product(*space.values()))}
    standings = {row["configuration"]: row for row in (grid.read_table("standings.json") if grid else [])}
    finalists = {row["configuration"]: row for row in (search.read_table("finalists.json") if search else [])}
    contenders = [configs[name] for name, row in standings.items() if row["may be best by loss"]]
    networks = search.children("network") if search else []
    winner = None
    if networks:
        params = networks[0].data.params
        winner = Config(**{key: type(values[0])(params[key]) for key, values in space.items()})
    columns = {"the document": TABLE2} | ({"our search": winner} if winner else {})
    columns |= {"best of all": configs[next(iter(standings))]} if standings else {}
    count = {key: Counter(getattr(config, key) for config in contenders) for key in space}
    scores = {}
    if standings:
        scores[f"rank of {len(standings):,}"] = [f"{standings[str(c)]['rank']}" for c in columns.values()]
        scores[f"geometric mean validation loss (95% interval), {grid.params['repeats']} splits"] = [
            "{loss:.4f} ({low:.4f} to {high:.4f})".format_map(standings[str(c)]) for c in columns.values()
        ]
        scores["may be the best?"] = [
            "yes" if standings[str(c)]["may be best by loss"] else "no" for c in columns.values()
        ]
    if finalists:
        scores["geometric mean validation loss on new splits (± standard error)"] = [
            "{new splits:.4f} ± {error:.4f}".format_map(finalists[str(c)]) if str(c) in finalists else "-"
            for c in columns.values()
        ]
    if winner and "test_accuracy_std" in search.metrics:
        tested = "{test_accuracy:.2%} ± {test_accuracy_std:.2%}".format_map(search.metrics)
        scores[f"test accuracy (± standard deviation over {len(networks)} seeds)"] = [
            tested if name == "our search" else "-" for name in columns
        ]
    return {
        "names": NAMES, "space": space, "count": count, "contenders": len(contenders), "columns": columns,
        "scores": scores,
    }  # fmt: skip


def as_html(markdown: str, figures: dict[str, bytes]) -> str:
    """Return the Markdown as HTML with the figures inside.

    What others wrote into a shared store stands in it: raw HTML is shown, not obeyed; a link that is none to a page
    (`javascript:`) stays text (markdown-it's own rule); of an image that is none of `figures` its description is left.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for part, text in zip(token.children or [], (token.children or [])[1:], strict=False):
            if part.type == "strong_open" and text.content in (*VERDICTS, "NOT SVHN", "NOT FULL"):
                part.attrSet("class", f"mark {text.content.replace(' ', '-').lower()}")
        for part in token.children or []:
            if part.type != "image":
                continue
            if content := figures.get(part.attrs["src"].removeprefix("figures/")):
                part.attrSet("src", "data:image/png;base64," + base64.b64encode(content).decode())
            else:
                part.type = "text"
    html = parser.renderer.render(tokens, parser.options, {})
    return html.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")


def save(out: Path, files: dict[str, bytes]) -> None:
    """Write all; each file is whole or the old one."""
    for name, content in files.items():
        part = out / f"{name}.part"
        part.write_bytes(content)
        os.replace(part, out / name)


if __name__ == "__main__":
    main()
