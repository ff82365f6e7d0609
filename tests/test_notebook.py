"""The notebook for a lent GPU, from its first cell to its last: in miniature, on a CPU, in a kernel of its own."""

import re
import shlex
import shutil
import sys
from contextlib import closing
from socket import socket

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from dl.claims import CLAIMS
from tests.test_docs import check
from tests.test_project import ROOT

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
CLONE = ("MLproject", "dl", "entrypoints", "tracking")
CODE = {cell.id: cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"}
# as a browser asks that sees the pages through a host's proxy: for the page, and for what is on it
PROXY = "http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search"
KNOCK = """
import urllib.request
host = "5000-gpu-t4-s-1.europe-west4-1.prod.colab.dev"
headers = {{"Host": host, "Origin": f"https://{{host}}", "Content-Type": "application/json"}}
asked = urllib.request.Request("{address}", b'{{"max_results": 1}}', headers)
print(urllib.request.urlopen(asked, timeout=60).status)
"""


def said(cell: NotebookNode) -> str:
    """What a cell printed, without colours and carriage returns."""
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    return re.sub(r"\x1b\[[\d;]*m", "", printed).replace("\r", "")


def shown(cell: NotebookNode, kind: str) -> str:
    """What a cell displayed of that MIME type; KeyError where nothing."""
    return "".join(output.data[kind] for output in cell.outputs if kind in output.get("data", {}))


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> dict[str, NotebookNode]:
    """All cells that were executed, by their ids."""
    folder = tmp_path_factory.mktemp("notebook")
    clone = folder / "clone"
    clone.mkdir()
    for name in CLONE:
        path = ROOT / name
        shutil.copytree(path, clone / name) if path.is_dir() else shutil.copy(path, clone)
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    miniature = {
        "PROJECT": str(clone), "PYTHON": sys.executable, "DATA": "street-digits", "MODELS": "lenet5", "SEEDS": 1,
        "TRIALS": 1, "LESS": "--epochs 1 --images 640 --device cpu", "PORT": port,
    }  # fmt: skip
    notebook = nbformat.read(NOTEBOOK, 4)
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    given = "\n".join(f"{name} = {value!r}" for name, value in miniature.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(given, id="given"))
    notebook.cells.append(nbformat.v4.new_code_cell(KNOCK.format(address=PROXY.format(port=port)), id="knock"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("OMP_NUM_THREADS", "1")
        NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    return {cell.id: cell for cell in notebook.cells}


def test_the_notebook_is_kept_without_what_it_printed():
    for name, cell in CODE.items():
        assert not cell.outputs, name
        assert cell.execution_count is None, name


def test_a_zoo_is_trained_and_compared_inline(cells):
    accuracy = re.search(r"LeNet-5: test accuracy ([\d.]+%) .*registered version 1", said(cells["zoo"]))[1]
    table = shown(cells["comparison"], "text/markdown")
    assert f"| LeNet-5 | 1 | {accuracy} ±" in table
    assert "NOT SVHN" in table
    assert shown(cells["comparison"], "image/png")


def test_a_champion_reads_a_picture(cells):
    [row] = re.findall(r"^digit\.png +(\d) +([\d.]+)%", said(cells["champion"]), re.MULTILINE)
    assert 10 <= float(row[1]) <= 100  # the likeliest of ten
    assert "street-digits-zoo@champion, trained on street-digits" in said(cells["champion"])
    assert shown(cells["champion"], "image/png")


def test_all_five_claims_get_a_verdict(cells):
    told = shown(cells["verdicts"], "text/markdown")
    verdicts = dict(re.findall(r"^\| (Q4-\w+) \|.*?\| \*\*(.+?)\*\* \|", told, re.MULTILINE))
    assert verdicts == {claim: "not tested" for claim in CLAIMS if claim.startswith("Q4")}  # no SVHN here
    assert len(verdicts) == 5
    assert "LeNet-5, document" in told
    assert shown(cells["verdicts"], "image/png") != shown(cells["comparison"], "image/png")


def test_a_search_registers_the_better_recipe(cells):
    # after the first zoo, and the two recipes of the claims
    assert "LeNet-5 trial 0: validation accuracy" in said(cells["search"])
    assert re.search(r"LeNet-5: test accuracy .*registered version 4", said(cells["search"]))


def test_pages_answer_through_the_hosts_proxy(cells):
    assert "is ready: http://127.0.0.1:" in said(cells["server"])
    assert said(cells["knock"]).strip() == "200"


def test_nothing_failed_on_the_way(cells):
    for name, cell in cells.items():
        if cell.cell_type == "code":
            assert not re.search("Traceback|Error:", said(cell)), name


def test_a_machine_without_a_gpu_is_told_in_one_line(cells):
    assert len(said(cells["gpu"]).splitlines()) == 1


FILLED = {
    "DATA": "svhn",
    "MODELS": "all",
    "LESS": "--epochs 1",
    "PICTURE": "a.png",
    "RESUME": "3f",
    "SEEDS": "3",
    "TRIALS": "20",
}


def test_commands_of_the_notebook_take_their_options():
    lines = re.findall(r"^ *!(python .*)", "\n".join(cell.source for cell in CODE.values()), re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        check(shlex.split(line.format(**FILLED)))
