"""The document, written again from the runs.

    mlflow run . -e report --env-manager uv

reads the tracking server and writes `outputs/report/`: report.html (one file, figures inside), report.md and its
figures; the run keeps a copy. The document's statements with their verdicts, then the four questions. Nothing
is trained: what has not been run says so and gives its command. Some seconds.
"""

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from entrypoints.options import Command


@click.command(cls=Command, help=__doc__)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("outputs/report"), show_default=True,
    help="Folder to write to.",
)  # fmt: skip
def main(out: Path) -> None:
    # here: mlflow and torch take seconds to import, which --help need not wait for
    from entrypoints.report.pages import write_pages
    from tracking.run import start

    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        if not os.access(out / "figures", os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise click.BadParameter(f"cannot write to {out}: {error.strerror}", param_hint="--out") from error
    with start("report", {"out": str(out)}, {"kind": "report"}) as run:
        markdown, html, figures = write_pages()
        run.text("report.md", markdown)
        run.text("report.html", html)
        with TemporaryDirectory() as folder:
            for name, content in figures.items():
                path = Path(folder, name)
                path.write_bytes(content)
                run.file(path, "figures")
        run.note(markdown.split("\n## ", 1)[0])  # title and summary; the page itself is an artifact
        save_files(out, {"report.md": markdown.encode(), "report.html": html.encode()} | {
            f"figures/{name}": content for name, content in figures.items()
        })  # fmt: skip
    click.echo(f"{out / 'report.html'}\n{out / 'report.md'}")


def save_files(out: Path, files: dict[str, bytes]) -> None:
    """Write all files into the folder; each is whole or the old one, whenever this ends."""
    for name, content in files.items():
        part = out / f"{name}.part"
        part.write_bytes(content)
        os.replace(part, out / name)


if __name__ == "__main__":
    main()
