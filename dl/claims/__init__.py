"""The document's statements as data, and their tests: measured results in, a verdict with its numbers out.

A verdict is computed where the measurement is made and never written down. Every judge can come out otherwise: the
tests feed each the contrary measurements.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import NormalDist, fmean, stdev

VERDICTS = ("confirmed", "refuted", "depends", "not tested")


@dataclass(frozen=True)
class Claim:
    """One checkable statement of the document."""

    id: str
    question: int
    quote: str  # the document's own words
    refuted_by: str  # what we would have to measure to call it wrong


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "Q1-unique",
            1,
            "Cross-Entropy Loss (CE) is utilized in logistic regression tasks to ensure a clear and unambiguous "
            "single correct solution.",
            "data on which descent from different starts ends at different weights, or at none",
        ),
        Claim(
            "Q1-penalty",
            1,
            "Cross entropy mitigates these issues by imposing heavier penalties on larger errors in predicted "
            "probabilities, particularly when the predicted probability deviates significantly from the actual "
            "class (0 or 1).",
            "a confident error that costs no more under CE than under MSE, each in units of its loss at p = 1/2",
        ),
        Claim(
            "Q1-corner-gradient",
            1,
            "The gradient at points (1, 0) and (0, 1) appears lower on the MSE loss surface compared to the CE loss "
            "surface.",
            "|dL/dp| or |dL/dz| near those corners that is not lower for MSE",
        ),
        Claim(
            "Q1-convergence",
            1,
            "Additionally, the MSE loss surface exhibits lower gradient and slower convergence, while the CE loss "
            "surface demonstrates steeper gradient and faster convergence.",
            "races, each loss with its own best learning rate, that MSE wins beyond chance",
        ),
        Claim(
            "Q2-ce",
            2,
            "The CE loss is not convex because of the presence of the logarithmic terms, which lead to non-convexity.",
            "CE convex in p, in the logit and in logistic weights, where the logarithms are",
        ),
        Claim(
            "Q2-mse",
            2,
            "where the terms (y_i - ŷ_i)^2 introduce non-linearity, making the loss function non-convex.",
            "MSE convex wherever the squares stand alone: in p and in linear regression",
        ),
        Claim(
            "Q2-none",
            2,
            "Since neither CE loss nor MSE loss guarantees convexity, the correct answer is None.",
            "a network with a hidden layer in which one of the losses is convex",
        ),
        Claim(
            "Q3-data",
            3,
            "Consider a model designed for classifying images of digits, such as those found in the MNIST [2] "
            "dataset available in the sklearn [4] library. This dataset comprises a total of 1797 8x8 images of "
            "digits.",
            "1,797 images that differ from MNIST in size, in range and in source",
        ),
        Claim(
            "Q3-table2",
            3,
            "Table 2: The table presents the hyper-parameters along with their optimum values.",
            "configurations of table 1 that beat 384 / 24 / 0.01 / 0.0 / ReLU beyond the noise of seeds",
        ),
        Claim(
            "Q4-lenet",
            4,
            "LeNet-5 demonstrates a consistent enhancement in accuracy, rising from 17% to 84% over the course of "
            "10 epochs.",
            "an epoch that loses accuracy beyond noise, or another first or last accuracy by the same recipe",
        ),
        Claim(
            "Q4-alexnet",
            4,
            "Throughout the training duration, AlexNet maintains a stable accuracy of 18%. This lack of improvement "
            "suggests that despite its deeper architecture compared to LeNet-5, it may struggle to effectively handle "
            "the complexity and variability inherent in the SVHN dataset, possibly due to limitations in how it "
            "processes image features.",
            "the same architecture learning under another recipe",
        ),
        Claim(
            "Q4-vgg",
            4,
            "VGG-16 exhibits erratic behavior with spikes in loss values, indicating potential issues like "
            "overfitting, suboptimal learning rates, or data preprocessing discrepancies specific to the SVHN dataset.",
            "a VGG-16 whose loss falls without spikes",
        ),
        Claim(
            "Q4-resnet18",
            4,
            "ResNet-18 displays a robust performance, starting at 71% accuracy in the initial epoch and steadily "
            "progressing to 91% by the 10th epoch.",
            "another first or last accuracy, or an epoch that loses accuracy beyond noise",
        ),
        Claim(
            "Q4-depth",
            4,
            "While both ResNet-50 and ResNet-101 exhibit notable enhancements over time, their performances do not "
            "surpass that of ResNet-18.",
            "ResNet-50 or ResNet-101 above ResNet-18 beyond the spread of seeds",
        ),
    )
}


@dataclass(frozen=True)
class Verdict:
    """What the measurements say of a claim. ValueError for an unknown claim or verdict."""

    claim: str  # an id of CLAIMS
    verdict: str  # one of VERDICTS
    reason: str  # one sentence, with its numbers
    numbers: dict = field(default_factory=dict)  # finite numbers, strings, lists and dicts: plain JSON

    def __post_init__(self):
        if self.claim not in CLAIMS:
            raise ValueError(f"no such claim: {self.claim}; known: {', '.join(CLAIMS)}")
        if self.verdict not in VERDICTS:
            raise ValueError(f"no such verdict: {self.verdict}; known: {', '.join(VERDICTS)}")


def rows(verdicts: Iterable[Verdict]) -> list[dict]:
    """For claims.json: each verdict with its claim's question, quote and what would refute it."""
    return [asdict(CLAIMS[verdict.claim]) | asdict(verdict) for verdict in verdicts]


def markdown(verdicts: Iterable[Verdict]) -> str:
    """A table for a run's note."""
    lines = ["| claim | the document says | verdict | because |", "|---|---|---|---|"]
    for v in verdicts:
        quote, reason = (text.replace("|", "\\|") for text in (CLAIMS[v.claim].quote, v.reason))
        lines.append(f"| {v.claim} | {quote} | **{v.verdict}** | {reason} |")
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------- question 1


def judge_q1_unique(problems: Sequence[dict]) -> Verdict:
    """Does CE have one optimum? `problems`: rows of `dl.logistic.uniqueness`."""
    unique = [
        row["dataset"]
        for row in problems
        if not row["separable"] and row["smallest_eigenvalue"] > 0 and row["spread"] < 1e-3
    ]
    others = [row for row in problems if row["dataset"] not in unique]
    numbers = {row["dataset"]: {k: v for k, v in row.items() if k != "dataset"} for row in problems}
    if not problems:
        return Verdict("Q1-unique", "not tested", "no data were given")
    yes = "; ".join(
        f"{row['dataset']}: {row['starts']} starts end at one point (to {row['spread']:.0e} of its length), smallest "
        f"Hessian eigenvalue there {row['smallest_eigenvalue']:.2g}"
        for row in problems
        if row["dataset"] in unique
    )
    no = "; ".join(
        f"{row['dataset']}: a hyperplane separates the classes, so there is no optimum at finite weights, and the last "
        f"90% of the steps still lengthen them {row['growth']:.1f}-fold"
        if row["separable"]
        else f"{row['dataset']}: end points differ by {row['spread']:.0%}, smallest Hessian eigenvalue "
        f"{row['smallest_eigenvalue']:.2g}"
        for row in others
    )
    if not others:
        return Verdict("Q1-unique", "confirmed", f"One optimum on every set ({yes}).", numbers)
    if not unique:
        return Verdict("Q1-unique", "refuted", f"No single optimum on any set ({no}).", numbers)
    return Verdict("Q1-unique", "depends", f"On whether the classes overlap. {yes}. {no}.", numbers)


def judge_q1_penalty(corners: Sequence[dict], confident: float = 0.1) -> Verdict:
    """Does CE cost more than MSE where p is within `confident` of the wrong class? Rows of `dl.logistic.corners`.

    Raw losses have no common unit; so each is also divided by its value at p = 1/2. Both must be larger.
    """
    half = next((row for row in corners if row["distance"] == 0.5), None)
    wrong = [row for row in corners if 0 < row["distance"] <= confident]
    if half is None or not wrong:
        return Verdict("Q1-penalty", "not tested", "neither p = 1/2 nor a confident error was measured")

    def relative(row: dict, loss: str) -> float:
        return row[f"{loss}_loss"] / half[f"{loss}_loss"]

    def heavier(row: dict) -> bool:
        return row["ce_loss"] > row["mse_loss"] and relative(row, "ce") > relative(row, "mse")

    count = sum(map(heavier, wrong))
    verdict = {len(wrong): "confirmed", 0: "refuted"}.get(count, "depends")
    far = min(wrong, key=lambda row: row["distance"])
    exceptions = sorted({row["distance"] for row in corners if 0 < row["distance"] < 0.5 and not heavier(row)})
    mild = f"; not so at p = {', '.join(f'{e:g}' for e in exceptions)}, in those units" if exceptions else ""
    reason = (
        f"At {count} of {len(wrong)} confident errors CE is the heavier, raw and in units of the loss at p = 1/2: an "
        f"error of p = {far['distance']:g} costs {far['ce_loss']:.1f} against {far['mse_loss']:.2f}, "
        f"{relative(far, 'ce'):.0f} against {relative(far, 'mse'):.1f} such units{mild}."
    )
    numbers = {
        "confident_errors": len(wrong),
        "ce_heavier": count,
        "ce_loss": far["ce_loss"],
        "mse_loss": far["mse_loss"],
        "ce_relative": relative(far, "ce"),
        "mse_relative": relative(far, "mse"),
        "lighter_at": exceptions,
    }
    return Verdict("Q1-penalty", verdict, reason, numbers)


def judge_q1_corner_gradient(corners: Sequence[dict], near: float = 0.01) -> Verdict:
    """Is MSE's gradient the lower at the corners, both in p and in the logit? Rows of `dl.logistic.corners`."""
    close = [row for row in corners if row["distance"] <= near]
    if not close:
        return Verdict("Q1-corner-gradient", "not tested", f"nothing was measured within {near} of a corner")
    in_p = all(row["mse_dp"] < row["ce_dp"] for row in close)
    in_z = all(row["mse_dz"] < row["ce_dz"] for row in close)
    verdict = "confirmed" if in_p and in_z else "depends" if in_p or in_z else "refuted"
    far = min((row for row in close if row["distance"] > 0), key=lambda row: row["distance"], default=close[0])
    on = " and ".join(name for name, lower in (("p", in_p), ("the logit", in_z)) if lower) or "neither p nor the logit"
    limit = next((row for row in close if row["distance"] == 0), None)
    unbounded = " (CE's has no bound, MSE's is 2)" if limit and limit["ce_dp"] == float("inf") else ""
    reason = (
        f"MSE's is lower in {on}: {far['distance']:g} from the corner |dL/dp| is {far['mse_dp']:.3g} against "
        f"{far['ce_dp']:.3g}{unbounded} and |dL/dz|, which training uses, {far['mse_dz']:.2g} against "
        f"{far['ce_dz']:.3g}."
    )
    keys = ("distance", "mse_dp", "ce_dp", "mse_dz", "ce_dz")
    return Verdict("Q1-corner-gradient", verdict, reason, {key: far[key] for key in keys})


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses fall, with the chance of one false fall in all of them at most `level` (Holm, 1979)."""
    order, fallen = sorted(range(len(p_values)), key=lambda i: p_values[i]), [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > level / (len(p_values) - rank):
            break
        fallen[i] = True
    return fallen


def tally(races: Sequence[dict], level: float = 0.05) -> list[str]:
    """Per race "ce", "mse" or "undecided": who was faster beyond chance, all races tested together."""
    decided = holm([race["p"] for race in races], level)
    return [
        "undecided" if not sure else "ce" if race["ce_faster"] > race["mse_faster"] else "mse"
        for race, sure in zip(races, decided, strict=True)
    ]


def judge_q1_convergence(own: Sequence[dict], equal: Sequence[dict] = ()) -> Verdict:
    """Does CE converge faster? `own`: races, each loss with its own best learning rate; `equal`: at equal ones.

    Rows of `dl.logistic.compare` with "goal" and "start" named. The verdict rests on `own`; `equal` is for contrast.
    Confirmed: CE faster in most races and slower in none; refuted: the other way round; else it depends.
    """
    winners = tally(own)
    count, contrast = Counter(winners), Counter(tally(equal))
    by = {key: {} for key in ("goal", "start")}
    for key, groups in by.items():
        for race, winner in zip(own, winners, strict=True):
            groups.setdefault(race[key], Counter())[winner] += 1
    numbers = {
        "races": len(own),
        "ce_faster": count["ce"],
        "mse_faster": count["mse"],
        "undecided": count["undecided"],
        **{f"by_{key}": {name: dict(c) for name, c in groups.items()} for key, groups in by.items()},
        "equal_lr": dict(contrast),
    }
    if not count["ce"] and not count["mse"]:
        return Verdict("Q1-convergence", "not tested", "No race was decided beyond chance.", numbers)
    if not count["mse"] and count["ce"] > len(own) / 2:
        verdict = "confirmed"
    elif not count["ce"] and count["mse"] > len(own) / 2:
        verdict = "refuted"
    else:
        verdict = "depends"
    split = "; by ".join(
        key + " " + ", ".join(f"{name} {c['ce']}:{c['mse']}" for name, c in groups.items())
        for key, groups in by.items()
    )
    told = f"; at equal learning rates {contrast['ce']}:{contrast['mse']} of {len(equal)}" if equal else ""
    on = "On the goal, the start and the learning rate: each" if verdict == "depends" else "Each"
    reason = (
        f"{on} loss with its own best learning rate, CE is faster in {count['ce']} races and MSE in {count['mse']}, "
        f"{count['undecided']} of {len(own)} are undecided at 5% (Holm); CE:MSE by {split}{told}."
    )
    return Verdict("Q1-convergence", verdict, reason, numbers)


# ----------------------------------------------------------------------------------------- question 2

CE, MSE, REAL = "cross-entropy", "MSE of a probability", "MSE of a real output"


def at_least(value: float) -> str:
    """A positive number to three significant digits, rounded down: what is proven stays proven in print."""
    power = 10.0 ** (math.floor(math.log10(value)) - 2)
    return f"{math.floor(value / power) * power:{'.0f' if value >= 100 else '.3g'}}"


def _table(cells: Sequence[dict]) -> dict[tuple[str, str], dict]:
    return {(cell["loss"], cell["as a function of"]): cell for cell in cells}


def _describe(cell: dict) -> str:
    if cell["verdict"] == "not convex":
        return f"proven to lie {at_least(cell['proven_gap'])} above a chord"
    return f"smallest eigenvalue {cell['smallest_eigenvalue']:.2g}, no witness in {cell['trials']} trials"


def _numbers(cells: Iterable[dict]) -> dict:
    keys = ("verdict", "smallest_eigenvalue", "proven_gap", "trials")
    return {f"{c['loss']}, {c['as a function of']}": {key: c[key] for key in keys} for c in cells}


def judge_q2_ce(cells: Sequence[dict]) -> Verdict:
    """Do CE's logarithms make it non-convex? `cells`: rows of `dl.landscape.Finding`.

    The logarithms are all there is in p and in the logit, and nothing but a linear map is added in logistic weights.
    """
    table = _table(cells)
    asked = [table.get((CE, place)) for place in ("p", "logit", "logistic weights")]
    if None in asked or any(cell["verdict"] == "undecided" for cell in asked):
        return Verdict("Q2-ce", "not tested", "CE in p, in the logit or in logistic weights was left undecided")
    convex = [cell for cell in asked if cell["verdict"] == "convex"]
    verdict = {3: "refuted", 0: "confirmed"}.get(len(convex), "depends")
    told = "; ".join(f"in {c['as a function of']} {c['verdict']} ({_describe(c)})" for c in asked)
    return Verdict("Q2-ce", verdict, f"Where the logarithms are, CE is: {told}.", _numbers(asked))


def judge_q2_mse(cells: Sequence[dict]) -> Verdict:
    """Do MSE's squares make it non-convex? The control: p and linear regression, where the squares stand alone."""
    table = _table(cells)
    alone = [table.get((MSE, "p")), table.get((REAL, "linear-regression weights"))]
    through = table.get((MSE, "logistic weights"))
    if None in alone or through is None or any(c["verdict"] == "undecided" for c in [*alone, through]):
        return Verdict("Q2-mse", "not tested", "MSE in p, in linear regression or in logistic weights was undecided")
    convex = [cell for cell in alone if cell["verdict"] == "convex"]
    verdict = {2: "refuted", 0: "confirmed"}.get(len(convex), "depends")
    told = "; ".join(f"in {c['as a function of']} {c['verdict']} ({_describe(c)})" for c in alone)
    cause = (
        f"; through a sigmoid it is not convex ({_describe(through)}), so the sigmoid is the cause, not the squares"
        if through["verdict"] == "not convex" and len(convex) == 2
        else ""
    )
    return Verdict("Q2-mse", verdict, f"Where the squares stand alone: {told}{cause}.", _numbers([*alone, through]))


def judge_q2_none(cells: Sequence[dict]) -> Verdict:
    """Does neither loss guarantee a convex problem? With a hidden layer and without one."""
    table = _table(cells)
    hidden = [c for (_, place), c in table.items() if place.startswith("hidden")]
    flat = [table.get((loss, "logistic weights")) for loss in (CE, MSE)]
    if not hidden or None in flat or any(c["verdict"] == "undecided" for c in [*hidden, *flat]):
        return Verdict("Q2-none", "not tested", "a cell of the table was left undecided")
    deep, shallow = ([c for c in group if c["verdict"] == "convex"] for group in (hidden, flat))
    verdict = "refuted" if deep else "depends" if shallow else "confirmed"
    gaps = [c["proven_gap"] for c in hidden if c["verdict"] == "not convex"]
    told = f"with a hidden layer {len(gaps)} of {len(hidden)} cells are not convex" + (
        f" (each proven to lie {at_least(min(gaps))} or more above a chord, linear layers included)" if gaps else ""
    )
    names = " and ".join(c["loss"] for c in shallow) or "neither loss"
    on = "On the hidden layer: " if verdict == "depends" else ""
    reason = f"{on}{told}; without one, in logistic regression, {names} is convex."
    return Verdict("Q2-none", verdict, reason[0].upper() + reason[1:], _numbers([*flat, *hidden]))


# ----------------------------------------------------------------------------------------- question 3

MNIST = {"images": 70_000, "height": 28, "width": 28, "largest value": 255}  # yann.lecun.com/exdb/mnist


def judge_q3_data(found: dict) -> Verdict:
    """Are sklearn's digits MNIST? `found`: the keys of MNIST, measured, and `source`, in sklearn's own words."""
    differs = [key for key in MNIST if found[key] != MNIST[key]]
    verdict = {0: "confirmed", len(MNIST): "refuted"}.get(len(differs), "depends")
    told = ", ".join(f"{key} {found[key]:,} (MNIST {value:,})" for key, value in MNIST.items())
    return Verdict("Q3-data", verdict, f"{told}; sklearn names its source: {found['source']}.", found)


def judge_q3_table2(findings: Sequence[dict], tried: int, possible: int) -> Verdict:
    """Is table 2 the optimum of table 1?

    findings: one a measure, each with `measure`, `in_best` (may table 2 be the best?), `contenders` (how many may
    be), `rank`, `rank_low`, `rank_high`, `gap` to the best mean and `gap_error`, its standard error.
    tried: how many of the `possible` configurations were compared.
    """
    told = "; ".join(
        f"by {f['measure']} rank {f['rank']} of {tried:,} (95%: {f['rank_low']} to {f['rank_high']}), "
        f"{f['gap']:.3g} ± {f['gap_error']:.2g} behind the best mean, "
        f"{f['contenders']} cannot be told from the best, table 2 {'among' if f['in_best'] else 'not among'} them"
        for f in findings
    )
    numbers = {f["measure"]: {key: value for key, value in f.items() if key != "measure"} for f in findings}
    among = [f["in_best"] for f in findings]
    if not any(among):
        verdict, lead = "refuted", "Others are better beyond the noise"
    elif not all(among):
        verdict, lead = "depends", "On the measure"
    elif tried < possible:
        verdict, lead = "not tested", f"Only {tried:,} of {possible:,} were compared"
    elif all(f["contenders"] == 1 for f in findings):
        verdict, lead = "confirmed", "It stands alone"
    else:
        verdict, lead = "depends", "On the split and the seed"
    return Verdict("Q3-table2", verdict, f"{lead}: {told}.", numbers)


# ----------------------------------------------------------------------------------------- question 4

NEAR = 0.05  # an accuracy within five points of the document's is the document's
SPIKE = 0.25  # a validation loss that rises by more than this share of the epoch's before it is a spike ...
# ... if that is also more than 0.1 nats: the true digit's probability falls by a tenth in the geometric mean, more than
# five standard errors of the difference between two epochs on 6,000 images whose losses deviate by one nat
SPIKE_FLOOR = 0.1


def off_svhn(claim: str, setting: dict, told: str, numbers: dict) -> Verdict | None:
    """ "not tested" where the runs cannot speak for the document's: other data, or less training than it had."""
    lacks = [
        what
        for what, there in (
            (f"SVHN (these are {setting['dataset']})", setting["dataset"] == "svhn"),
            ("the document's images, size and epochs (preset full)", setting["preset"] == "full"),
            ("as many as that preset has (no --images, no --epochs)", not setting.get("changed")),
            ("the ImageNet weights that it began with", not setting.get("weights_missing")),
        )
        if not there
    ]
    return Verdict(claim, "not tested", f"It takes {'; '.join(lacks)}. Here: {told}.", numbers) if lacks else None


def judge_q4_rise(claim: str, runs: Sequence[dict], setting: dict, first: float, last: float) -> Verdict:
    """Does a network rise steadily from accuracy `first` to `last` by the document's recipe?

    runs: one a seed, each with `val_accuracy`, one an epoch, `val_images`, how many were scored, and `diverged`.
    setting: `dataset` and `preset`. An epoch loses accuracy beyond noise where it falls by more than two independent
    samples of as many images would differ, at 5% over all epochs and seeds (Bonferroni). A training that diverged
    did not rise.
    """
    if not runs:
        return Verdict(claim, "not tested", "The document's recipe was not run (`-P recipe=both`).")
    whole = [run for run in runs if not run["diverged"]]
    falls = [fall for run in whole for fall in pairwise(run["val_accuracy"])]
    z = NormalDist().inv_cdf(1 - 0.05 / max(1, len(falls)))
    drops = sum(
        before - after > z * math.sqrt((before * (1 - before) + after * (1 - after)) / run["val_images"])
        for run in whole
        for before, after in pairwise(run["val_accuracy"])
    )
    diverged = len(runs) - len(whole)
    told = f"by the document's recipe {diverged} of {len(runs)} trainings diverged" if diverged else ""
    numbers = {"drops": drops, "seeds": len(runs), "diverged": diverged}
    if whole:
        starts, ends = (fmean(run["val_accuracy"][epoch] for run in whole) for epoch in (0, -1))
        numbers |= {"first": starts, "last": ends}
        told += (", the others went " if diverged else "by the document's recipe ") + (
            f"from {starts:.1%} after the first epoch to {ends:.1%} after the last "
            f"({len(whole)} seed{'s' * (len(whole) > 1)}), {drops} of {len(falls)} steps lose accuracy beyond noise"
        )
    if verdict := off_svhn(claim, setting, told, numbers):
        return verdict
    holds = not diverged and not drops and abs(starts - first) <= NEAR and abs(ends - last) <= NEAR
    reason = f"The document: {first:.0%} to {last:.0%}. Measured {told}."
    return Verdict(claim, "confirmed" if holds else "refuted", reason, numbers)


def judge_q4_alexnet(document: Sequence[dict], arms: Mapping[str, dict], majority: float, setting: dict) -> Verdict:
    """Does AlexNet stick, and is its architecture why?

    document: runs of the document's recipe, one a seed, each with `test_accuracy`. arms: "random weights", which is
    that recipe without ImageNet's weights, and with one thing changed from there "another learning rate", "another
    initialisation", "another architecture"; likewise. Who diverged has no `test_accuracy` and did not learn. majority:
    the most frequent digit's share of the test images, of which there are setting["test_images"]. A network is stuck
    within three standard errors of that share.
    """
    claim, bar = "Q4-alexnet", majority + 3 * math.sqrt(majority * (1 - majority) / setting["test_images"])
    if not document or len(arms) < 2:
        return Verdict(claim, "not tested", "The ablation was not run (`-P recipe=both`).")

    def learns(run: dict) -> bool:
        return run.get("test_accuracy", 0.0) > bar

    def tell(run: dict) -> str:
        return f"{run['test_accuracy']:.1%}" if "test_accuracy" in run else "diverged"

    told = f"on {setting['dataset']}, where {majority:.1%} is the most frequent digit, as the document " + ", ".join(
        map(tell, document)
    )
    told += "".join(f"; {'' if name.startswith('random') else 'only '}{name} {tell(arm)}" for name, arm in arms.items())
    numbers = {name: arm.get("test_accuracy") for name, arm in arms.items()}
    numbers |= {"document": [run.get("test_accuracy") for run in document], "majority": majority}
    if verdict := off_svhn(claim, setting, told, numbers):
        return verdict
    learnt = sum(map(learns, document))
    same = [name for name in arms if name != "another architecture" and learns(arms[name])]
    if learnt:
        verdict, lead = ("refuted", "It does not stick") if learnt == len(document) else ("depends", "On the seed")
    elif same:
        verdict, lead = "refuted", f"It sticks, but not for its architecture, which learns with {' or '.join(same)}"
    elif learns(arms.get("another architecture", {})):
        verdict, lead = "confirmed", "Only another architecture learns"
    else:
        verdict, lead = "not tested", "Nothing learns within this budget"
    return Verdict(claim, verdict, f"{lead}: {told}.", numbers)


def judge_q4_vgg(document: Sequence[dict], tuned: Sequence[dict], setting: dict) -> Verdict:
    """Is VGG-16 erratic? Runs, one a seed, by the document's and the tuned recipe: only one, neither or both spike.

    Each with `val_loss`, one an epoch, and `diverged`, which is a spike in the epoch after the last.
    """
    if not document or not tuned:
        return Verdict("Q4-vgg", "not tested", "It takes both recipes (`-P recipe=both`).")
    spikes = [
        sum(spikes_up(before, after) for run in runs for before, after in pairwise(run["val_loss"]))
        + sum(run["diverged"] for run in runs)
        for runs in (document, tuned)
    ]
    epochs = [sum(len(run["val_loss"]) + run["diverged"] for run in runs) for runs in (document, tuned)]
    told = " and ".join(
        f"{spiked} of {all_} epochs of the {name} recipe"
        for spiked, all_, name in zip(spikes, epochs, ("document's", "tuned"), strict=True)
    )
    told = (
        f"the validation loss jumps by more than {SPIKE:.0%} and {SPIKE_FLOOR:g} nats, or is lost altogether, in {told}"
    )
    numbers = {"document": spikes[0], "tuned": spikes[1], "document_epochs": epochs[0], "tuned_epochs": epochs[1]}
    if verdict := off_svhn("Q4-vgg", setting, told, numbers):
        return verdict
    verdict = "confirmed" if all(spikes) else "depends" if any(spikes) else "refuted"
    on = "On the recipe: " if verdict == "depends" else ""
    reason = f"{on}{told}."
    return Verdict("Q4-vgg", verdict, reason[0].upper() + reason[1:], numbers)


def spikes_up(before: float, after: float) -> bool:
    """True if a validation loss, in nats, jumps from one epoch to the next; one that is no number does."""
    return not after <= before + max(SPIKE * before, SPIKE_FLOOR)


def judge_q4_depth(accuracies: Mapping[str, Mapping[str, Sequence[float | None]]], setting: dict) -> Verdict:
    """Judge whether ResNet-50 and -101 do not surpass ResNet-18.

    accuracies: recipe -> network ("resnet18", "resnet50", "resnet101") -> test accuracies, one a seed, None where the
    training diverged. What diverges surpasses nothing. A network surpasses another where `chance_above` is at most 5%,
    Holm-corrected over all pairs. One that may be above, but not surely, leaves the question open, as does a single
    seed: too few confirm nothing. Two networks that both always diverge are not compared.
    """
    pairs = [
        (recipe, nets[deeper], nets["resnet18"])
        for recipe, nets in accuracies.items()
        for deeper in ("resnet50", "resnet101")
        if nets.get(deeper) and nets.get("resnet18")
    ]
    told = "; ".join(
        f"{recipe} recipe: " + ", ".join(f"{name} {tell_seeds(values)}" for name, values in nets.items() if values)
        for recipe, nets in accuracies.items()
    )
    numbers = {recipe: {name: list(values) for name, values in nets.items()} for recipe, nets in accuracies.items()}

    def say(verdict: str, lead: str) -> Verdict:
        return Verdict("Q4-depth", verdict, f"{lead}: {told}.", numbers)

    if not pairs:
        return Verdict("Q4-depth", "not tested", "It takes ResNet-18 and a deeper ResNet by one recipe.", numbers)
    if verdict := off_svhn("Q4-depth", setting, told, numbers):
        return verdict
    if any(len(values) < 2 for _, *pair in pairs for values in pair):
        return say("not tested", "One seed has no spread (`-P seeds=3`)")
    compared = [pair for pair in pairs if completed(pair[1]) or completed(pair[2])]
    if not compared:
        return say("not tested", "All diverge, so that there is nothing to compare")
    sure = holm([chance_above(deeper, shallow) for _, deeper, shallow in compared])
    above = {recipe for (recipe, *_), proven in zip(compared, sure, strict=True) if proven}
    if above == {recipe for recipe, *_ in compared}:
        return say("refuted", "One is above ResNet-18 by every recipe")
    if above:
        return say("depends", f"On the recipe, one is above ResNet-18 by the {' and '.join(sorted(above))} one")
    if any(may_be_above(deeper, shallow) for _, deeper, shallow in compared):
        return say("not tested", "One may be above ResNet-18; it takes more seeds to tell that from chance")
    return say("confirmed", "None is above ResNet-18")


def completed(accuracies: Sequence[float | None]) -> list[float]:
    """Return the accuracies of the trainings that did not diverge."""
    return [accuracy for accuracy in accuracies if accuracy is not None]


def chance_above(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> float:
    """Return the one-sided p-value of `deeper` being no better than `shallow`; accuracies, None: diverged.

    Welch's t-test on the trainings that did not diverge. Where `shallow` always does, Fisher's exact test on how many
    did. 1 where fewer than two accuracies have no spread.
    """
    from scipy.stats import fisher_exact, ttest_ind  # a second: not at import

    deep, flat = completed(deeper), completed(shallow)
    if not flat:
        counts = [[len(deep), len(deeper) - len(deep)], [0, len(shallow)]]
        return float(fisher_exact(counts, alternative="greater").pvalue)
    if min(len(deep), len(flat)) < 2:
        return 1.0
    chance = ttest_ind(deep, flat, equal_var=False, alternative="greater").pvalue
    return 1.0 if math.isnan(chance) else float(chance)  # nan: equal to the last image


def may_be_above(deeper: Sequence[float | None], shallow: Sequence[float | None]) -> bool:
    """True if `deeper` has the higher mean accuracy, or diverges less often, than `shallow`."""
    deep, flat = completed(deeper), completed(shallow)
    if not deep:
        return False
    return not flat or fmean(deep) > fmean(flat) or len(deep) / len(deeper) > len(flat) / len(shallow)


def tell_seeds(accuracies: Sequence[float | None]) -> str:
    """Return mean and standard deviation over the seeds, and how many of them diverged, as text."""
    values, seeds = completed(accuracies), len(accuracies)
    if not values:
        return "diverged" if seeds == 1 else f"diverged with all {seeds} seeds"
    told = f"{fmean(values):.1%}" + (f" ± {stdev(values):.1%}" if len(values) > 1 else "")
    return told + (f" ({seeds - len(values)} of {seeds} seeds diverged)" if len(values) < seeds else "")


def judge_q4(runs: Sequence[dict], majority: float, setting: dict) -> list[Verdict]:
    """All five claims of question 4.

    runs: one a network, recipe ("tuned", "document" or an arm of the ablation) and seed, with `network`, `recipe`,
    `val_accuracy` and `val_loss` (one an epoch), `val_images`, `initial_weights`, `diverged` and, where it did not,
    `test_accuracy`. majority: the most frequent digit's share of the test images. setting: `dataset`, `preset`,
    `test_images`, and `changed`: were there other images or epochs than the preset's?
    """

    def of(network: str, recipe: str) -> list[dict]:
        return [run for run in runs if (run["network"], run["recipe"]) == (network, recipe)]

    def started(*networks: str) -> dict:
        """The setting, and whether the document's runs of these networks lacked their published weights."""
        mine = [run for network in networks for run in of(network, "document")]
        return setting | {"weights_missing": any(run["initial_weights"].startswith("random") for run in mine)}

    deep = ("resnet18", "resnet50", "resnet101")
    accuracies = {
        recipe: {
            name: [None if run["diverged"] else run["test_accuracy"] for run in of(name, recipe)]
            for name in deep
            if of(name, recipe)
        }
        for recipe in ("document", "tuned")
    }
    arms = {run["recipe"]: run for run in runs if run["recipe"] not in ("tuned", "document")}
    return [
        judge_q4_rise("Q4-lenet", of("lenet5", "document"), setting, 0.17, 0.84),
        judge_q4_alexnet(of("alexnet", "document"), arms, majority, started("alexnet")),
        judge_q4_vgg(of("vgg16", "document"), of("vgg16", "tuned"), started("vgg16")),
        judge_q4_rise("Q4-resnet18", of("resnet18", "document"), started("resnet18"), 0.71, 0.91),
        judge_q4_depth({recipe: nets for recipe, nets in accuracies.items() if nets}, started(*deep)),
    ]
