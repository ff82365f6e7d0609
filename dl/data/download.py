"""One published file, from the first address that has it; what an earlier try has fetched is not fetched again."""

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from io import BufferedIOBase
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock

SILENCE = 20.0  # seconds without a byte: the connection is dead
CONNECTIONS = 10  # to one address at most, and only while each of them brings something

Progress = Callable[[str, int, int], None]  # a file's name, how many bytes are there, and of how many (0: unknown)


def download(path: Path, md5: str, addresses: Sequence[str], report: Progress) -> None:
    """Fetch `path` from the first of `addresses` that sends the file of that `md5`; appears only when it is whole.

    Raises OSError with every address and why it failed. What has arrived waits in `.NAME.*.partial` for the next try.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with FileLock(path.with_name(f".{path.name}.lock")) as lock:  # one process fetches, the others wait for it
        try:
            for address in () if path.exists() else addresses:
                ours = hashlib.sha256(address.encode()).hexdigest()[:8]  # nothing of another address gets in between
                arriving = path.with_name(f".{path.name}.{ours}.partial")
                try:
                    _fetch(address, arriving, md5, partial(report, path.name))
                    os.replace(arriving, path)
                    break
                except (OSError, HTTPException, ValueError) as error:
                    reasons.append(f"{without_user(address)}: {_why(error)}")
                    if not _size(arriving):
                        arriving.unlink(missing_ok=True)
            if not path.exists():
                raise OSError("; ".join(reasons))
            for left in path.parent.glob(f".{path.name}.*.partial"):
                left.unlink()
        finally:
            with suppress(OSError):  # Windows removes it when it is released
                Path(lock.lock_file).unlink()


def _fetch(address: str, arriving: Path, md5: str, report: Callable[[int, int], None]) -> None:
    """Complete the file, and check it. Raises what the last connection raised, ValueError for another file's bytes."""
    for tries_left in reversed(range(CONNECTIONS)):
        before = _size(arriving)
        try:
            _go_on(address, arriving, report)
        except (OSError, HTTPException):
            if tries_left and _size(arriving) > before:
                continue
            raise
        with arriving.open("rb") as file:
            found = md5_of(file)
        if found == md5:
            return
        wrong = f"sends another file ({_size(arriving):,} bytes, md5 {found}, expected {md5})"
        arriving.unlink()
        if not before or not tries_left:  # else what was there before may be what is wrong: once more, from its start
            raise ValueError(wrong)


def _go_on(address: str, arriving: Path, report: Callable[[int, int], None]) -> None:
    """Fetch what is missing behind the bytes that are there; all of them where the server knows no ranges."""
    user, _, host = (parts := urlsplit(address)).netloc.rpartition("@")
    request = Request(parts._replace(netloc=host).geturl(), headers={"User-Agent": "four_questions"})
    if user:  # not to be sent to where a redirect leads
        request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(user).encode()).decode()}")
    if there := _size(arriving):
        request.add_header("Range", f"bytes={there}-")
    try:
        response = urlopen(request, timeout=SILENCE)
    except HTTPError as error:
        if there and error.code == 416:  # no bytes behind these
            return
        raise
    with response:
        goes_on = response.status == 206
        there *= goes_on
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else 0
        with arriving.open("ab" if goes_on else "wb") as file:
            while chunk := response.read1(1 << 20):
                file.write(chunk)
                there += len(chunk)
                report(there, total)
    if there < total:
        raise OSError(f"cut off after {there:,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _why(error: Exception) -> str:
    """Return the reason in one line, without a password."""
    if isinstance(error, HTTPError):
        return f"{error.code} {error.reason}"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer for {SILENCE:g} seconds"
    return without_user((str(cause).splitlines() or [type(cause).__name__])[0])


def without_user(address: str) -> str:
    """Return the address without user name and password."""
    return re.sub(r"(?<=://)[^/\s]*@", "", address)


def md5_of(file: BufferedIOBase) -> str:
    """Return the MD5 of what is still to be read; it tells files apart, and is no protection against forgers."""
    return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
