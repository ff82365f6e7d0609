"""A page on this machine that shows what the registered networks read in your photographs and drawings.

    mlflow run . -e demo --env-manager local

after `pip install -r requirements-demo.txt`. Every champion among the street-digit networks of the tracking server
answers side by side, with a map of what it looked at; a pad is for the perceptron of question 3, and two sliders for
the losses of question 1. For this machine alone, and nothing leaves it. Ctrl-C ends it. Some seconds to start.
"""

import os
import socket
from contextlib import suppress
from importlib.util import find_spec
from tempfile import TemporaryDirectory

import click

from entrypoints.options import Command

HOST = "127.0.0.1"
FIRST = "mlflow run . -e svhn_zoo --env-manager uv"  # what registers networks


@click.command(cls=Command, help=__doc__)
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
def main(port: int) -> None:
    if find_spec("gradio") is None:
        raise click.ClickException(
            "no gradio here: pip install -r requirements-demo.txt, after requirements.txt and not with it"
        )

    # here: --help need not wait for these
    from entrypoints.demo.networks import find_networks, offered_digits
    from tracking.patience import shown_uri
    from tracking.signals import signals_end_the_block
    from tracking.store import connect

    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise click.ClickException(f"{HOST}:{port}: {reason}; choose another --port") from error
    with listening, signals_end_the_block(), TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        networks, reader = find_networks(connect())
        if not networks:
            raise click.ClickException(f"no street-digit network is registered on {shown_uri()}: first {FIRST}")
        # before gradio is imported: it reports its use to its makers, and keeps uploads in a folder that stays
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": folder}
        from entrypoints.demo.page import build_page, serve_page

        page = build_page(networks, reader, *offered_digits())
        click.echo(f"{len(networks)} networks: http://{HOST}:{port}, for this machine alone; Ctrl-C ends it")
        serve_page(page, listening)


if __name__ == "__main__":
    main()
