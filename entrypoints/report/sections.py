"""Sections of the report: the run that a rule chooses for each, and what it says."""

import re
from functools import cache, partial
from itertools import takewhile
from pathlib import Path

import yaml

from dl.claims import CLAIMS, VERDICTS, Claim, tell_decision
from dl.plots.live import read_live
from entrypoints.questions import Question, Source
from tracking.evidence import Evidence, best, parents

MLPROJECT = Path(__file__).resolve().parents[2] / "MLproject"
RULE = (
    "Chosen by rule, of the parent runs of each question in all experiments that came to their end: SVHN over "
    "generated data, all networks over some, runs with the default numbers of trials, seeds, steps, points, repeats, "
    "epochs and images (or more) over shorter ones, the full preset over the quick one, both recipes over one, runs "
    "without a failed network over those with one, then the latest."
)
BUDGETS = ("trials", "seeds", "steps", "points", "repeats", "epochs", "images")


def rank_run(entry: str, run: Evidence) -> tuple:
    """Return RULE as a key to sort by; `best` adds that the latest wins."""
    tags = run.tags
    return (
        tags.get("dataset") == "svhn",
        run.params.get("models", "all") == "all",
        not cut_short(entry, run.params),
        tags.get("preset") == "full",
        tags.get("recipe") == "both",
        run.status == "FINISHED",
    )


def cut_short(entry: str, params: dict[str, str]) -> bool:
    """True if the run had less than its default budget, or, where the default of 0 leaves it to the preset, another."""
    budgets = {key: float(default) for key, default in defaults_of(entry).items() if key in BUDGETS}
    try:
        asked = {key: float(params.get(key, default)) for key, default in budgets.items()}
    except ValueError:  # nothing that this program writes
        return True
    return any(asked[key] < default or (asked[key] and not default) for key, default in budgets.items())


def section_of(question: Question, source: Source, figures: dict[str, bytes], live: dict[str, dict]) -> dict:
    """Return what a source has to say; its figures are added to `figures`, those that live also to `live`."""
    candidates = parents(question.number, source.kind, **source.tags)
    run = best(candidates, partial(rank_run, source.entry))
    shown, missing = figures_of(run, source, figures, live) if run else ([], [])
    return {
        "source": source,
        "run": run,
        "finished": sum(each.over for each in candidates),
        "attempt": candidates[0] if candidates and not run else None,
        "claims": verdicts_of(run) if run else {},
        "mark": warning_of(run) if run else "",
        "changed": changed_options(source.entry, run.params) if run else {},
        "answer": split_note(run.note) if run else ("", ""),
        "figures": shown,
        "missing": missing,
    }


def figures_of(
    run: Evidence, source: Source, figures: dict[str, bytes], live: dict[str, dict]
) -> tuple[list[dict], list[str]]:
    """Add the run's figures to both; return those that no other section shows, and what files are missing."""
    shown, missing = [], []
    for file, caption in (source.figures | source.extra).items():
        name = f"{source.entry}-{run.id[:8]}-{file}"
        if name in figures:
            continue
        content = run.file(file)
        if content is not None:
            figures[name] = content
            page = run.file(file.replace(".png", ".html"))
            if page and (drawn := read_live(page.decode(errors="replace"))):
                live[name] = drawn
            shown.append({"path": f"figures/{name}", "caption": caption})
        elif file in source.figures:
            missing.append(file)
    return shown, missing


def verdicts_of(run: Evidence) -> dict[str, dict]:
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


def warning_of(run: Evidence) -> str:
    """Return what a reader must know before believing a number, as Markdown."""
    dataset, preset = run.tags.get("dataset", ""), run.tags.get("preset", "full")
    remarks, lead = list[str](), "NOT FULL"
    if dataset == "svhn-extra":
        remarks, lead = ["with SVHN's extra images"], "NOT THE DOCUMENT'S DATA"
    elif run.tags["question"] == "4" and dataset != "svhn":
        remarks, lead = [f"generated {as_plain(dataset)}"], "NOT SVHN"
    remarks += [f"{as_plain(preset)} preset"] * (preset != "full")
    return f"**{lead}** ({', '.join(remarks)})" if remarks else ""


@cache
def defaults_of(entry: str) -> dict[str, str]:
    """Return MLproject's defaults, but for those that decide nothing of the result."""
    parameters = yaml.safe_load(MLPROJECT.read_text())["entry_points"][entry]["parameters"]
    return {key: str(spec["default"]) for key, spec in parameters.items() if key not in ("device", "resume")}


def changed_options(entry: str, params: dict[str, str]) -> dict[str, str]:
    """Return the options in which the run differs from MLproject's defaults."""

    def plain(value: str) -> str | float:
        try:
            return float(value)  # 1.0 is 1
        except ValueError:
            return value

    return {
        key: params[key] for key, value in defaults_of(entry).items() if plain(params.get(key, value)) != plain(value)
    }


def split_note(note: str) -> tuple[str, str]:
    """Split a run's note in what it says in bold, to stand before the figures, and the rest.

    Its table of claims is left out: they all stand in the one on top.
    """
    blocks = [block for block in note.split("\n\n") if not block.startswith("| claim |")]
    bold = max(1, len(list(takewhile(lambda block: block.startswith("**"), blocks))))
    return "\n\n".join(blocks[:bold]), "\n\n".join(blocks[bold:])


def claim_row(claim: Claim, sections: list[dict], command: str) -> dict:
    """Return a claim's row: from the first run that tested it, else why none did; `command` would."""
    judged = [(section, section["claims"][claim.id]) for section in sections if claim.id in section["claims"]]
    tested = [pair for pair in judged if pair[1]["verdict"] != "not tested"]
    section, found = next(iter(tested or judged), (None, {"verdict": "not tested", "reason": "Not tested yet."}))
    return {
        "claim": claim,
        "section": section,
        "verdict": found["verdict"],
        "reason": found["reason"],
        "decision": decision_of(found),
        "command": command,
    }


def decision_of(row: dict) -> str:
    """Return what a row of claims.json was decided by, as one line; "-" where it does not say: an old run's."""
    try:
        return tell_decision(row["decision"])
    except (KeyError, TypeError, ValueError):
        return "-"


def as_plain(text: str) -> str:
    """Return text that others chose (names, tags, parameters) as Markdown that shows it as it is, on one line."""
    one_line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*\[\]|])", r"\\\1", one_line)
