"""The document's statements as data, and their judges: measured results in, a verdict with its numbers out.

A verdict is computed where the measurement is made and never written down. Every judge can come out otherwise: the
tests feed each the contrary measurements.
"""

from dl.claims.question1 import (
    judge_q1_convergence,
    judge_q1_corner_gradient,
    judge_q1_penalty,
    judge_q1_unique,
    tally,
)
from dl.claims.question2 import CE, MSE, REAL, at_least, judge_q2_ce, judge_q2_mse, judge_q2_none
from dl.claims.question3 import MNIST, judge_q3_data, judge_q3_table2
from dl.claims.question4 import judge_q4
from dl.claims.statements import CLAIMS, Claim
from dl.claims.verdict import LEVEL, VERDICTS, Decision, Verdict, holm, markdown, rows, tell_decision

__all__ = [
    "CE", "CLAIMS", "LEVEL", "MNIST", "MSE", "REAL", "VERDICTS", "Claim", "Decision", "Verdict", "at_least", "holm",
    "judge_q1_convergence", "judge_q1_corner_gradient", "judge_q1_penalty", "judge_q1_unique",
    "judge_q2_ce", "judge_q2_mse", "judge_q2_none", "judge_q3_data", "judge_q3_table2", "judge_q4",
    "markdown", "rows", "tally", "tell_decision",
]  # fmt: skip
