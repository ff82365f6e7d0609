"""An MLflow server for a laptop or a team: `mlflow server`, closed until it is told otherwise.

    python -m tracking.serve

for this machine only, on SQLite, and

    python -m tracking.serve --auth --host 0.0.0.0 --allowed-hosts ml.example.org --backend-store-uri postgresql://...

for a team. It checks what would otherwise fail late or stay open, starts `mlflow server`, prints the address once
/health answers, and ends with it. Every other setting of `mlflow server` is taken from its own environment variables,
such as MLFLOW_WORKERS. Not an entry point of MLproject: `mlflow run` records parameters, and a database URI holds a
password.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from configparser import ConfigParser
from contextlib import suppress
from pathlib import Path

import click
import mlflow
import sqlalchemy
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
START_SECONDS = 120  # seconds until /health must answer
SECRET, PASSWORD, AUTH_CONFIG = (
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_AUTH_CONFIG_PATH",
)


@click.command(help=__doc__)
@click.option(
    "--backend-store-uri", envvar="MLFLOW_BACKEND_STORE_URI", default="sqlite:///mlflow.db", show_default=True,
    help="Database of runs, models and users; with a password in it, better by $MLFLOW_BACKEND_STORE_URI.",
)  # fmt: skip
@click.option(
    "--artifacts-destination", envvar="MLFLOW_ARTIFACTS_DESTINATION", default="./mlartifacts", show_default=True,
    help="Folder or s3://bucket/path; only the server needs access to it.",
)  # fmt: skip
@click.option("--host", envvar="MLFLOW_HOST", default="127.0.0.1", show_default=True)
@click.option("--port", envvar="MLFLOW_PORT", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option("--auth", is_flag=True, help=f"Users and permissions; wants ${SECRET} and, at first, ${PASSWORD}.")
@click.option("--allow-anonymous", is_flag=True, help="Serve other machines without --auth.")
@click.option(
    "--allowed-hosts", envvar="MLFLOW_SERVER_ALLOWED_HOSTS", default="",
    help="Comma-separated names by which other machines call this one, besides localhost.",
)  # fmt: skip
@click.option(
    "--cors-allowed-origins", envvar="MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", default="",
    help="Comma-separated origins whose web pages may write here, besides localhost's.",
)  # fmt: skip
def main(
    backend_store_uri: str,
    artifacts_destination: str,
    host: str,
    port: int,
    auth: bool,
    allow_anonymous: bool,
    allowed_hosts: str,
    cors_allowed_origins: str,
) -> None:
    check_exposure(host, auth, allow_anonymous, allowed_hosts)
    if auth:
        check_secret()
    check_port(host, port)
    database = check_database(backend_store_uri)
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": backend_store_uri,  # by environment: `ps` shows arguments to everybody
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(host_patterns(allowed_hosts)),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": cors_allowed_origins,
    }
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # more processes, for LLM judges only
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port),
        "--artifacts-destination", artifacts_destination,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if auth:
            check_password(backend_store_uri)
            command += ["--app-name", "basic-auth"]
            environment.setdefault(AUTH_CONFIG, str(auth_config(Path(folder), backend_store_uri)))
        server = subprocess.Popen(command, env=environment)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: server.terminate())
        healthy = wait_until_healthy(server, host, port)
        if healthy:
            click.echo(f"MLflow {mlflow.__version__} is ready: {url(host, port)}")
            click.echo(f"database {database}, artifacts {artifacts_destination}, users {'on' if auth else 'off'}")
        status = server.wait()
    if not healthy or status not in (0, -signal.SIGTERM):
        raise click.ClickException(f"mlflow server ended with status {status}: see its messages above")


def check_exposure(host: str, auth: bool, allow_anonymous: bool, allowed_hosts: str) -> None:
    """Other machines get in by two decisions: who (users, or expressly anybody), and under which name."""
    if host in LOOPBACK:
        return
    if not auth and not allow_anonymous:
        raise click.UsageError(
            f"{host} is open to other machines and there are no users: add --auth, or --allow-anonymous if anybody "
            "who reaches this machine may read, write and delete"
        )
    if not allowed_hosts:
        raise click.UsageError(
            f"{host} is open to other machines, but every name is refused: say by which they call this one, for "
            f"example --allowed-hosts {socket.getfqdn()}"
        )


def check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(f"{host}:{port}: {error.strerror}; choose another --port or --host") from error


def check_database(uri: str) -> str:
    """Refuse a database that is not there or stale; returns the URI without its password.

    An empty one is left to the server, which gives the default experiment an artifact folder of its own.
    """
    try:
        address = sqlalchemy.make_url(uri)
        shown = address.render_as_string(hide_password=True)
        engine = sqlalchemy.create_engine(address)
        with engine.connect():  # at once: MLflow tries for 100 seconds
            used = sqlalchemy.inspect(engine).has_table("alembic_version")
        if used:
            mlflow.MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as error:
        if "mlflow db upgrade" in error.message:
            raise click.ClickException(
                f"{shown} was written by another version of MLflow: back it up, then run "
                f"`mlflow db upgrade {shown}` (this is MLflow {mlflow.__version__})"
            ) from error
        raise click.ClickException(f"{shown}: {error.message.splitlines()[0]}") from error
    except (SQLAlchemyError, ImportError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise click.BadParameter(f"cannot be opened: {reason}", param_hint="--backend-store-uri") from error
    return shown


def check_secret() -> None:
    if len(os.environ.get(SECRET, "")) < 16:
        raise click.UsageError(
            f"--auth wants ${SECRET}, the same on every start, at least 16 characters: "
            "for example from `openssl rand -hex 32`"
        )


def check_password(database: str) -> None:
    """Only the first start needs one: it makes the user `admin`. mlflow itself holds it to its policy."""
    if os.environ.get(PASSWORD) or AUTH_CONFIG in os.environ:
        return
    if not sqlalchemy.inspect(sqlalchemy.create_engine(database)).has_table("users"):
        raise click.UsageError(f"--auth wants ${PASSWORD} on the first start: the password of the user `admin`")


def auth_config(folder: Path, database: str) -> Path:
    """MLflow's defaults, but the users live in the same database as the runs: one thing to back up."""
    config = ConfigParser(interpolation=None)
    config["mlflow"] = {
        "default_permission": "READ",
        "database_uri": database.replace("%", "%%"),  # mlflow reads it with interpolation
        "admin_username": "admin",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds": "60",  # hashing the password for every request takes longer than the request
    }
    path = folder / "basic_auth.ini"  # mode 700 above: the URI may hold a password
    with path.open("w") as file:
        config.write(file)
    return path


def host_patterns(names: str) -> list[str]:
    """Host headers to let in: localhost's and `names`, each on any port unless it has one.

    MLflow's own default also lets in whatever begins like a private address, such as "10.evil.example".
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    bare = ["localhost", "127.0.0.1", *(name for name in asked if not re.search(r":[\d*]+$|^\*$", name))]
    return list(dict.fromkeys(["[::1]", "[[]::1]:*", *bare, *(f"{name}:*" for name in bare), *asked]))


def url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def wait_until_healthy(server: subprocess.Popen, host: str, port: int) -> bool:
    """True once /health answers 200, False if the server ended; ends one that is silent for START_SECONDS seconds."""
    until = time.monotonic() + START_SECONDS
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # $http_proxy does not lead to this machine
    while time.monotonic() < until:
        if server.poll() is not None:
            return False
        with suppress(OSError), directly.open(f"{url(host, port)}/health", timeout=5) as answer:
            if answer.status == 200:
                return True
        time.sleep(0.2)
    server.terminate()
    return False


if __name__ == "__main__":
    main()
