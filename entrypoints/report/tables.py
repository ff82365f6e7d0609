"""Tables 1 and 2 of the document, with what the runs of question 3 found."""

import json
from collections import Counter
from itertools import product

from dl.table1 import TABLE2, Config
from tracking.evidence import Evidence

HYPER_PARAMETERS = {
    "h1": "neurons in hidden layer 1", "h2": "neurons in hidden layer 2", "lr": "learning rate of Adam",
    "dropout": "dropout rate", "activation": "activation",
}  # fmt: skip


def tables_1_and_2(grid: Evidence | None, search: Evidence | None) -> dict | None:
    """Return table 1 with how often each value may be best, table 2 beside our winner; None where nothing was run."""
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
    if grid and standings:
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
    if winner and search and "test_accuracy_std" in search.metrics:
        tested = "{test_accuracy:.2%} ± {test_accuracy_std:.2%}".format_map(search.metrics)
        scores[f"test accuracy (± standard deviation over {len(networks)} seeds)"] = [
            tested if name == "our search" else "-" for name in columns
        ]
    return {
        "names": HYPER_PARAMETERS, "space": space, "count": count, "contenders": len(contenders), "columns": columns,
        "scores": scores,
    }  # fmt: skip
