"""Judges of question 3: the digits, and table 2 as the optimum of table 1."""

from collections.abc import Sequence

from dl.claims.verdict import LEVEL, Decision, Verdict

MNIST = {"images": 70_000, "height": 28, "width": 28, "largest value": 255}  # yann.lecun.com/exdb/mnist


def judge_q3_data(found: dict) -> Verdict:
    """Judge whether sklearn's digits are MNIST.

    found: the keys of MNIST, measured, and `source`, in sklearn's own words.
    """
    differs = [key for key in MNIST if found[key] != MNIST[key]]
    verdict = {0: "confirmed", len(MNIST): "refuted"}.get(len(differs), "depends")
    told = ", ".join(f"{key} {found[key]:,} (MNIST {value:,})" for key, value in MNIST.items())
    reason = f"{told}; sklearn names its source: {found['source']}."
    share = 1 - len(differs) / len(MNIST)
    decision = Decision(
        "exact: counts", "another sklearn", len(MNIST), "properties", "share that is MNIST's", (share, share, share)
    )
    return Verdict("Q3-data", verdict, reason, found, decision)


def judge_q3_table2(findings: Sequence[dict], tried: int, possible: int) -> Verdict:
    """Judge whether table 2 is the optimum of table 1.

    findings: one a measure, each with `measure`, `in_best` (may table 2 be the best?), `contenders` (how many may
    be), `rank`, `rank_low`, `rank_high`, `gap` to the best mean and `gap_error`, its standard error, `p` of table 2
    being the best and `p_rival` of the best of the others, and `repeats`, how many splits and seeds: all of a
    `dl.ranking.Comparison` at LEVEL.
    tried: how many of the `possible` configurations were compared.
    """
    told = "; ".join(
        f"by {f['measure']} rank {f['rank']} of {tried:,} ({1 - LEVEL:.0%}: {f['rank_low']} to {f['rank_high']}), "
        f"{f['gap']:.3g} ± {f['gap_error']:.2g} behind the best mean, {f['contenders']} cannot be told from the best, "
        + ("table 2 among them" if f["in_best"] else "table 2 not among them")
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
    decided, splits = min(findings, key=lambda f: f["p"]), min(f["repeats"] for f in findings)
    decision = Decision(
        f"Hsu's comparisons with the best at {LEVEL:.0%}",
        {
            "refuted": "splits on which table 2 is not behind",
            "confirmed": "splits on which another is as good",
            "depends": f"more splits than {splits}: confirmed where it stands alone, refuted where others are better",
            "not tested": f"all {possible:,} on {splits} splits (`-P exhaustive=True`)",
        }[verdict],
        splits,
        "splits",
        f"rank by {decided['measure']}",
        (decided["rank"], decided["rank_low"], decided["rank_high"]),
        {
            "refuted": max(f["p"] for f in findings),
            "confirmed": max(f["p_rival"] for f in findings),
        }.get(verdict, decided["p"]),
    )
    return Verdict("Q3-table2", verdict, f"{lead}: {told}.", numbers, decision)
