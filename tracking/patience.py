"""Patience with a tracking server that is away: one gate for every call, whatever it reads or writes.

`retry` repeats a call until the server takes it, for PATIENCE seconds. After a signal, and where that time was in vain,
all calls that are left have LAST_SECONDS together: a process that was told to end must end. `patient` puts a whole
client behind that gate.
"""

import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from tracking.errors import StoreError

PATIENCE = 600  # seconds that a call waits for a server that is away
LAST_SECONDS = 6  # for all calls of a process that is to end; requests under way may take some four seconds more
TRIES, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
# what MLflow's client says, at any depth
NO_ANSWER = re.compile(r"API request to \S+ failed with (timeout )?exception")
Result = TypeVar("Result")
_until = math.inf  # time.monotonic() at which a process that is to end stops trying


class _Patient:
    def __init__(self, client: MlflowClient):
        self._client = client

    def __getattr__(self, name: str) -> Callable:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: retry(lambda: method(*args, **kwargs))


def patient(client: MlflowClient) -> MlflowClient:
    """Return `client` with every call of it going through `retry`."""
    return cast(MlflowClient, _Patient(client))


def retry(call: Callable[[], Result]) -> Result:
    """Return what `call` returns, repeating it while the server is away.

    A call may be repeated although the server took it, when the answer was lost: it must bear that. Raises
    StoreError where the server stays away; what the server refuses is raised at once.
    """
    began, pause = time.monotonic(), 0.5
    while True:
        if time.monotonic() >= _until:
            raise StoreError("the tracking server is still away")
        try:
            return call()
        except MlflowException as error:
            if not is_away(error):
                raise
            if time.monotonic() + pause > min(began + PATIENCE, _until):
                hurry()
                raise StoreError(
                    f"the tracking server {shown_uri()} stays away, after {time.monotonic() - began:.0f} seconds of "
                    f"waiting: {reason_of(error)}"
                ) from error
            if pause == 0.5:
                say(f"the tracking server {shown_uri()} is away: waiting for it")
        time.sleep(pause)
        pause = min(2 * pause, 5)


def is_away(error: MlflowException) -> bool:
    """True if the server did not answer, or its database does not: not if it refuses what was asked."""
    if error.error_code == "TEMPORARILY_UNAVAILABLE":  # a database that is locked, or gone
        return True
    return NO_ANSWER.search(str(error)) is not None


@contextmanager
def patience() -> Iterator[None]:
    """Let `retry` do the waiting in this block, not MLflow's client, which would take four minutes a request."""
    global _until
    with http_limits(retries=int(os.environ.get(TRIES, 2))):
        try:
            yield
        finally:
            _until = math.inf


def hurry() -> None:
    """Give all calls from now on LAST_SECONDS together. Safe in a signal handler: takes no lock."""
    global _until
    _until = min(_until, time.monotonic() + LAST_SECONDS)
    os.environ.update({TRIES: "0", TIMEOUT: "2"})


def hurried() -> bool:
    return _until < math.inf


@contextmanager
def http_limits(retries: int, seconds: int | None = None) -> Iterator[None]:
    """Limit how often MLflow's client repeats a request in this block, and how long it waits for an answer."""
    before = {name: os.environ.get(name) for name in (TRIES, TIMEOUT)}
    os.environ[TRIES] = str(retries)
    if seconds is not None:
        os.environ[TIMEOUT] = str(seconds)
    try:
        yield
    finally:
        for name, value in before.items() if not hurried() else ():  # else those of `hurry` stay until `patience` ends
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def reason_of(error: BaseException) -> str:
    """Return the first line of what it says, without a password."""
    return without_password((str(error).splitlines() or [type(error).__name__])[0].strip())


def shown_uri() -> str:
    """Return the tracking URI without its password."""
    return without_password(mlflow.get_tracking_uri())


def without_password(uri: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", uri)
