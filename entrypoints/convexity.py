"""Question 2: which loss gives a convex problem?

    mlflow run . -e convexity --env-manager uv

asks it of cross-entropy and squared error as functions of the probability, of the logit, of the weights of logistic and
linear regression, and of the weights of networks with one hidden layer. hyperopt searches each of the 16 cells for a
witness of non-convexity, gradient ascent polishes it, interval arithmetic proves it; Hessian spectra are taken beside.
Judges the document's three claims. Half a minute on two cores.

Expected: convex are cross-entropy in p, in the logit and in logistic weights, squared error in p and in linear
regression; nothing else is.
"""

import click
import torch
from tqdm import tqdm

from dl import claims
from dl.cells import Finding, cells, examine_cell
from dl.device import pick_device
from dl.plots import convexity as plots
from dl.plots.live import live_page
from dl.plots.live.convexity import slide_witnesses
from entrypoints.options import Command
from entrypoints.questions import Question, Source
from tracking.evidence import log_verdicts
from tracking.run import Run, start

QUESTION_2 = Question(
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
)


@click.command(cls=Command, help=__doc__)
@click.option("--trials", type=click.IntRange(1), default=50, show_default=True, help="Trials of a cell's search.")
@click.option(
    "--points",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Random points for the Hessian's spectrum.",
)
@click.option("--seed", type=click.IntRange(0, 10**6), default=0, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
def main(trials: int, points: int, seed: int, device: str) -> None:
    asked = click.get_current_context().params
    try:
        chosen = pick_device(device, mps=False)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    torch.set_num_threads(1)  # small tensors: on a busy machine a second thread costs more than it brings
    with start("convexity", asked, {"question": 2, "kind": "question", "device": chosen.type}) as run:
        findings = []
        for cell in tqdm(cells(), desc="cells", disable=None):
            findings.append(examine_cell(cell, trials, points, seed, chosen))
            record_cell(run, findings[-1])
        rows = [finding.row() for finding in findings]
        verdicts = [claims.judge_q2_ce(rows), claims.judge_q2_mse(rows), claims.judge_q2_none(rows)]
        run.figure("convexity.png", plots.convexity_table(findings))
        run.figure("spectra.png", plots.hessian_spectra(findings))
        run.figure("witnesses.png", plots.witness_curves(findings))
        run.text("witnesses.html", live_page(slide_witnesses(findings)))
        run.log_table("cells.json", rows)
        run.log_json("witnesses.json", [witness_row(finding) for finding in findings if finding.witness.proven])
        log_verdicts(run, claims.rows(verdicts))
        run.note(answer_question_2(rows, verdicts))
    click.echo(claims.markdown(verdicts))


def record_cell(run: Run, finding: Finding) -> None:
    """Record a cell as a child run: the gap of every trial and the spectrum's ends."""
    cell, gaps = finding.cell, finding.witness.gaps
    params = {"loss": cell.loss, "as_a_function_of": cell.place, "dimensions": len(cell.box[0])}
    series = [(step, {"gap": gap, "best_gap": max(gaps[: step + 1])}) for step, gap in enumerate(gaps)]
    final = {
        "smallest_eigenvalue": finding.smallest,
        "largest_eigenvalue": float(finding.eigenvalues.max()),
        "proven_gap": finding.witness.lower,
    }
    tags = {"kind": "cell", "verdict": finding.verdict}
    run.record(f"convexity / {cell.loss} / {cell.place}", params, tags, series, final)


def witness_row(finding: Finding) -> dict:
    """Return the witness as exact fractions, for anybody to check."""
    a, b = ([f"{round(64 * value)}/64" for value in end] for end in (finding.witness.a, finding.witness.b))
    cell, found = finding.cell, finding.witness
    bounds = {"proven_gap_above": found.lower, "proven_gap_below": found.upper}
    return {"loss": cell.loss, "as a function of": cell.place, "a": a, "b": b} | bounds


def answer_question_2(rows: list[dict], verdicts: list[claims.Verdict]) -> str:
    """Return the question's answer as Markdown, all from what was measured."""
    convex = [f"{row['loss']} in {row['as a function of']}" for row in rows if row["verdict"] == "convex"]
    table = [
        "| loss | as a function of | verdict | because | smallest eigenvalue | gap proven above the chord |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        gap = f"> {claims.at_least(row['proven_gap'])}" if row["proven_gap"] > 0 else f"none in {row['trials']} trials"
        table.append(
            f"| {row['loss']} | {row['as a function of']} | **{row['verdict']}** | {row['because']} "
            f"| {row['smallest_eigenvalue']:.3g} ({row['points']} points) | {gap} |"
        )
    return "\n\n".join(
        [
            f"**Which loss gives a convex problem?** Convex: {', '.join(convex) or 'nothing'}. "
            f"Not convex, each with a proven witness: {sum(row['verdict'] == 'not convex' for row in rows)} of "
            f"{len(rows)} cells.",
            claims.markdown(verdicts),
            "\n".join(table),
        ]
    )


if __name__ == "__main__":
    main()
