"""The server as a team has it: a real process, real PostgreSQL, users, HTTP."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import mlflow
import pytest
import requests
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.server.auth.client import AuthServiceClient
from mlflow.server.security_utils import is_allowed_host_header

from dl.data import street_digits
from entrypoints.svhn_zoo.__main__ import main as zoo
from tracking import serve

ROOT = Path(__file__).resolve().parents[1]
ADMIN = ("admin", "correct horse battery")
ANA = ("ana", "staple of a writer")
BOB = ("bob", "staple of a reader")
REFUSED = (MlflowException, requests.HTTPError)  # what the client raises: of the API, of artifacts
SECRET = "0123456789abcdef0123456789abcdef"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(folder: Path, *arguments: str, **environment: str):
    """A server process of `python -m tracking.serve` in `folder`; gives its address once it says that it is ready."""
    port, log = free_port(), folder / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tracking.serve", "--port", str(port), *arguments], cwd=folder, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_WORKERS": "1", **environment},
        )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while f"is ready: http://127.0.0.1:{port}" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
        with pytest.raises(requests.ConnectionError):  # nothing of it stays behind
            requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def postgres():
    """The URI of an empty PostgreSQL of its own, over TCP with a password that has to be escaped."""
    found = [shutil.which("initdb"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    binaries = next((Path(path).parent for path in reversed(found) if path), None)
    if binaries is None:
        pytest.skip("needs PostgreSQL's server (initdb, pg_ctl): apt-get install postgresql")
    user = {"user": "nobody"} if os.getuid() == 0 else {}  # PostgreSQL refuses to run as root
    folder, port = Path(tempfile.mkdtemp(prefix="postgres")), free_port()
    (folder / "password").write_text("p@ss%w0rd")
    if user:
        shutil.chown(folder, "nobody")
        shutil.chown(folder / "password", "nobody")

    def call(tool: str, *arguments: str) -> None:
        subprocess.run([binaries / tool, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, **user)

    try:
        call("initdb", "-D", "data", "-U", "team", "-A", "scram-sha-256", "--pwfile", "password", "-E", "UTF8",
             "--no-sync")  # fmt: skip
        call("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", f"-p {port} -k {folder} -c fsync=off", "start")
        yield f"postgresql://team:p%40ss%25w0rd@127.0.0.1:{port}/postgres"
        call("pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def team(postgres, tmp_path_factory):
    """A team's server; ana may make experiments, bob only reads."""
    folder = tmp_path_factory.mktemp("team")
    with serving(
        folder, "--auth", "--allowed-hosts", "ml.example.org", MLFLOW_BACKEND_STORE_URI=postgres,
        MLFLOW_FLASK_SERVER_SECRET_KEY=SECRET, MLFLOW_AUTH_ADMIN_PASSWORD=ADMIN[1], MLFLOW_WORKERS="2",
    ) as url:  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            log_in(patch, ADMIN)
            for name, password in (ANA, BOB):
                AuthServiceClient(url).create_user(name, password)
        assert "p%40ss" not in (folder / "server.log").read_text()
        assert not (folder / "mlflow.db").exists()
        yield url


def log_in(monkeypatch, user: tuple[str, str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", user[1])


@pytest.fixture
def client(team, monkeypatch, tmp_path):
    """ana's client; also the default one of this process."""
    monkeypatch.chdir(tmp_path)
    log_in(monkeypatch, ANA)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(team)
    yield MlflowClient(team)
    mlflow.end_run()
    mlflow.set_tracking_uri(None)


@pytest.fixture
def experiment(client, request) -> str:
    return client.create_experiment(request.node.name)


def test_the_zoo_logs_through_it_and_its_champion_comes_back(client, experiment, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    arguments = ["--dataset", "street-digits", "--models", "lenet5", "--images", "600", "--epochs", "1"]
    result = CliRunner().invoke(zoo, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    runs = {run.data.tags["kind"]: run for run in client.search_runs([experiment])}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["zoo"].info.artifact_uri.startswith("mlflow-artifacts:")
    assert "comparison.png" in {item.path for item in client.list_artifacts(runs["zoo"].info.run_id)}
    assert not list(Path.cwd().iterdir())  # everything went over the wire

    test = street_digits(600, n_val=600, n_test=2000).test
    logits = mlflow.pyfunc.load_model("models:/street-digits-lenet5@champion").predict(test.x.numpy())
    accuracy = float((logits.argmax(1) == test.y.numpy()).mean())
    assert accuracy == pytest.approx(runs["network"].data.metrics["test_accuracy"], abs=0.002)


def test_nobody_gets_more_than_his_rights(team, client, experiment, monkeypatch):
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "hers", "note.txt")
    client.create_registered_model("hers")

    log_in(monkeypatch, BOB)
    assert client.get_run(run).info.run_id == run  # accounts of the team read
    for write in (
        lambda: client.log_metric(run, "loss", 0.0),
        lambda: client.log_text(run, "his", "note.txt"),
        lambda: client.delete_run(run),
        lambda: client.delete_experiment(experiment),
        lambda: client.delete_registered_model("hers"),
        lambda: AuthServiceClient(team).create_user("eve", "a long password"),
    ):
        with pytest.raises(REFUSED, match=r"403|Permission denied"):
            write()

    log_in(monkeypatch, ANA)  # her experiment: she decides
    AuthServiceClient(team).grant_user_permission("bob", "experiment", experiment, "DENY")
    log_in(monkeypatch, BOB)
    for read in (
        lambda: client.get_run(run),
        lambda: client.list_artifacts(run),
        lambda: mlflow.artifacts.load_text(f"mlflow-artifacts:/{experiment}/{run}/artifacts/note.txt"),
    ):
        with pytest.raises(REFUSED, match=r"403|Permission denied"):
            read()
    assert experiment not in {found.experiment_id for found in client.search_experiments()}

    log_in(monkeypatch, ("bob", "a wrong password"))
    with pytest.raises(MlflowException, match=r"401|not authenticated"):
        client.search_experiments()
    assert requests.get(f"{team}/api/2.0/mlflow/experiments/get?experiment_id={experiment}").status_code == 401
    assert requests.get(f"{team}/health").text == "OK"  # for load balancers

    log_in(monkeypatch, ANA)
    assert client.get_run(run).data.metrics == {}
    assert mlflow.artifacts.load_text(f"runs:/{run}/note.txt") == "hers"


def test_eight_writers_at_once_lose_nothing(client, experiment):
    steps, names = range(20), [f"metric_{index}" for index in range(10)]

    def write(writer: int) -> str:
        run = client.create_run(experiment, run_name=f"writer {writer}").info.run_id
        client.log_batch(run, params=[Param("writer", str(writer))], tags=[RunTag("writer", str(writer))])
        for half in (steps[:10], steps[10:]):
            client.log_batch(run, [Metric(name, writer + step / 100, step, step) for step in half for name in names])
        client.log_text(run, f"artifact of {writer}", "note.txt")
        client.create_model_version("shared", f"runs:/{run}/note.txt", run_id=run)
        client.set_terminated(run)
        return run

    client.create_registered_model("shared")
    with ThreadPoolExecutor(8) as pool:
        written = list(pool.map(write, range(8)))
    found = {run.info.run_id: run for run in client.search_runs([experiment])}
    assert set(found) == set(written)
    assert len(found) == 8
    for writer, run in enumerate(written):
        assert found[run].info.status == "FINISHED"
        assert found[run].data.params == {"writer": str(writer)}
        assert found[run].data.metrics == {name: writer + 0.19 for name in names}
        history = client.get_metric_history(run, names[writer])
        assert [(point.step, point.value) for point in history] == [(step, writer + step / 100) for step in steps]
        assert mlflow.artifacts.load_text(f"runs:/{run}/note.txt") == f"artifact of {writer}"
    versions = client.search_model_versions("name = 'shared'")
    assert sorted(int(version.version) for version in versions) == list(range(1, 9))
    assert {version.run_id for version in versions} == set(written)


API = "/api/2.0/mlflow"
BAD_REQUESTS = {
    "no such run": ("GET", f"{API}/runs/get?run_id={'0' * 32}", None),
    "run id missing": ("GET", f"{API}/runs/get", None),
    "no such experiment": ("GET", f"{API}/experiments/get?experiment_id=987654321", None),
    "experiment without a name": ("POST", f"{API}/experiments/create", {}),
    "experiment that exists": ("POST", f"{API}/experiments/create", {"name": "Default"}),
    "not JSON": ("POST", f"{API}/experiments/create", b"{"),
    "a value of the wrong type": ("POST", f"{API}/experiments/create", {"name": {"a": 1}}),
    "max_results below zero": ("POST", f"{API}/experiments/search", {"max_results": -1}),
    "max_results too large": ("POST", f"{API}/runs/search", {"experiment_ids": ["EXPERIMENT"], "max_results": 10**6}),
    "a filter that is none": ("POST", f"{API}/runs/search", {"experiment_ids": ["EXPERIMENT"], "filter": "loss << 1"}),
    "an order that is none": ("POST", f"{API}/runs/search", {"experiment_ids": ["EXPERIMENT"], "order_by": ["; drop"]}),
    "metric that is no number": ("POST", f"{API}/runs/log-metric",
                                 {"run_id": "RUN", "key": "a", "value": "x", "timestamp": 0}),
    "metric without a name": ("POST", f"{API}/runs/log-metric", {"run_id": "RUN", "value": 1.0, "timestamp": 0}),
    "metric named like a path": ("POST", f"{API}/runs/log-metric",
                                 {"run_id": "RUN", "key": "../a", "value": 1.0, "timestamp": 0}),
    "parameter changed": ("POST", f"{API}/runs/log-parameter", {"run_id": "RUN", "key": "lr", "value": "2"}),
    "too many metrics": ("POST", f"{API}/runs/log-batch", {"run_id": "RUN", "metrics": [
        {"key": "a", "value": 1.0, "timestamp": 0, "step": step} for step in range(1001)]}),
    "artifacts outside": ("GET", f"{API}/artifacts/list?run_id=RUN&path=../../..", None),
    "no such model": ("GET", f"{API}/registered-models/get?name=nobody", None),
    "alias of no version": ("POST", f"{API}/registered-models/alias",
                            {"name": "bad-requests", "alias": "champion", "version": "77"}),
    "no such address": ("GET", f"{API}/nothing/here", None),
    "wrong method": ("DELETE", f"{API}/experiments/create", None),
}  # fmt: skip


def test_bad_requests_get_clean_errors(team, client, experiment):
    run = client.create_run(experiment).info.run_id
    client.log_param(run, "lr", "1")
    client.create_registered_model("bad-requests")

    faults = {}
    for what, (method, path, body) in BAD_REQUESTS.items():
        path = path.replace("RUN", run)
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        data = data.replace("RUN", run).replace("EXPERIMENT", experiment) if isinstance(data, str) else data
        answer = requests.request(
            method, team + path, data=data, auth=ADMIN, headers={"Content-Type": "application/json"}, timeout=30
        )
        clean = 400 <= answer.status_code < 500 and "Traceback" not in answer.text
        if clean and answer.status_code not in (404, 405):  # no such address: there is no API to answer
            clean = "error_code" in answer.json()
        if not clean:
            faults[what] = (answer.status_code, answer.text[:300])
    assert not faults
    assert len(BAD_REQUESTS) >= 20
    assert client.get_run(run).data.params == {"lr": "1"}
    assert client.get_run(run).data.metrics == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "ml.example.org"}, 200),
        ({"Host": "ml.example.org:5000"}, 200),
        ({"Host": "localhost:1234"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "10.evil.example"}, 403),  # mlflow's default lets this one in
        ({"Host": "ml.example.org.evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
def test_other_names_and_other_peoples_pages_are_refused(team, headers, status):
    answer = requests.post(
        f"{team}/api/2.0/mlflow/experiments/search", json={"max_results": 1}, auth=ADMIN, headers=headers
    )
    assert answer.status_code == status
    assert "evil" not in answer.headers.get("Access-Control-Allow-Origin", "")


def refused(*arguments: str) -> str:
    """What the command says when it does not start: one line of reason."""
    result = CliRunner().invoke(serve.main, arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.output


def test_it_does_not_start_open_or_half_configured(tmp_path, monkeypatch, empty_store):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    assert "there are no users: add --auth" in refused("--host", "0.0.0.0")
    assert "--allowed-hosts" in refused("--host", "0.0.0.0", "--allow-anonymous")
    assert serve.SECRET in refused("--auth")
    monkeypatch.setenv(serve.SECRET, "short")
    assert "16 characters" in refused("--auth")
    monkeypatch.setenv(serve.SECRET, SECRET)
    assert not list(tmp_path.iterdir())
    assert serve.PASSWORD in refused("--auth", "--port", str(free_port()))
    assert "cannot be opened" in refused("--backend-store-uri", "mlruns", "--port", str(free_port()))
    nobody = f"postgresql://team:secret-word@127.0.0.1:{free_port()}/mlflow"
    said = refused("--backend-store-uri", nobody, "--port", str(free_port()))
    assert "cannot be opened" in said
    assert "secret-word" not in said
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "in use" in refused("--port", str(taken.getsockname()[1]))

    stale = tmp_path / "stale.db"
    shutil.copy(empty_store, stale)
    with sqlite3.connect(stale) as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    said = refused("--backend-store-uri", f"sqlite:///{stale}", "--port", str(free_port()))
    assert f"mlflow db upgrade sqlite:///{stale}" in said


def test_the_admins_password_is_wanted_once(team, postgres):
    serve.check_password(postgres)


@pytest.mark.parametrize(
    ("names", "header", "inside"),
    [
        ("", "localhost:5000", True),
        ("", "[::1]:5000", True),
        ("", "192.168.0.7", False),
        ("a.org, b.org:8080", "a.org:1", True),
        ("a.org, b.org:8080", "b.org:8080", True),
        ("a.org, b.org:8080", "b.org:1", False),
        ("*", "anything", True),
    ],
)
def test_host_patterns(names, header, inside):
    assert is_allowed_host_header(serve.host_patterns(names), header) == inside


def test_the_server_is_found_although_the_environment_names_a_proxy(monkeypatch, tmp_path):
    class Healthy(SimpleHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(serve, "START_SECONDS", 20)
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with HTTPServer(("127.0.0.1", 0), Healthy) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            assert serve.wait_until_healthy(sleeping, "127.0.0.1", server.server_port)
        finally:
            server.shutdown()
            sleeping.kill()
            sleeping.wait()
