"""Search for good points of a space: hyperopt's TPE suggests, successive halving stops, here or on Ray.

A job trains what a point says and reports after each epoch:

    job(point, report);  report({"epoch": 1, "score": 0.83, "metrics": {...}})

`score` comes from validation data and is to be maximised; `metrics` is for the record. A search is rebuilt from the
trials on record at every step, so that it goes on from its records alone. Whoever calls keeps these records: a `Log` is
spoken to in the calling process only, whatever the workers do.

    tpe.py      the spaces, and TPE as ask and tell: the only importer of hyperopt
    halving.py  successive halving
    trial.py    one trial, who hears of it, and which errors are a fact about its point
    search.py   a search, and the trials of a fixed list of points
    cluster.py  trials on Ray Tune: the only importer of Ray
"""

from dl.tuning.cluster import Cluster, init_ray, pick_cluster
from dl.tuning.halving import Halving
from dl.tuning.search import Search, run_points, run_search
from dl.tuning.tpe import TPE, Choice, Integer, LogUniform, Space, Uniform, fingerprint
from dl.tuning.trial import (
    POINT_ERRORS,
    BrokenJobError,
    Job,
    Log,
    Point,
    Report,
    Trial,
    explain_failure,
    first_line,
    short_hash,
)

__all__ = [
    "POINT_ERRORS", "TPE", "BrokenJobError", "Choice", "Cluster", "Halving", "Integer", "Job", "Log", "LogUniform",
    "Point", "Report", "Search", "Space", "Trial", "Uniform", "explain_failure", "fingerprint", "first_line",
    "init_ray", "pick_cluster", "run_points", "run_search", "short_hash",
]  # fmt: skip
