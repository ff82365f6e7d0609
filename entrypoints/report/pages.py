"""The report as Markdown and as a page of HTML, from the runs that were chosen."""

import base64
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from dl.claims import CLAIMS, VERDICTS
from dl.plots.live import as_data, live_style_sheet, scripts, words_of
from entrypoints.convexity import QUESTION_2
from entrypoints.digits_search import QUESTION_3
from entrypoints.loss_surfaces import QUESTION_1
from entrypoints.report.sections import RULE, as_plain, claim_row, section_of
from entrypoints.report.tables import tables_1_and_2
from entrypoints.svhn_zoo import QUESTION_4
from tracking.patience import shown_uri

QUESTIONS = (QUESTION_1, QUESTION_2, QUESTION_3, QUESTION_4)


def write_pages() -> tuple[str, str, dict[str, bytes]]:
    """Return the report as Markdown, as a page of HTML, and the figures of both by name."""
    figures: dict[str, bytes] = {}
    live: dict[str, dict] = {}
    chosen = {
        question.number: [section_of(question, source, figures, live) for source in question.sources]
        for question in QUESTIONS
    }
    commands = {question.number: question.sources[question.decisive].command for question in QUESTIONS}
    rows = [claim_row(claim, chosen[claim.question], commands[claim.question]) for claim in CLAIMS.values()]
    count = Counter(row["verdict"] for row in rows)
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"cell": as_cell, "plain": as_plain}
    markdown = templates.get_template("report.md.jinja").render(
        questions=QUESTIONS,
        chosen=chosen,
        claims=rows,
        summary=", ".join(f"{count[name]} {name}" for name in VERDICTS if count[name]),
        rule=RULE,
        store=shown_uri(),
        written=datetime.now(UTC),
        tables=tables_1_and_2(*(section["run"] for section in chosen[3])),
    )
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template(
        "report.html.jinja"
    )
    code, rule = scripts() if live else ("", "script-src 'none'")
    style = live_style_sheet() if live else ""
    html = page.render(
        body=Markup(as_html(markdown, figures, live)), scripts=Markup(code), rule=rule, style=Markup(style)
    )
    return without_html(markdown), html, figures


def as_cell(markdown: str) -> str:
    """Return inline Markdown as it may stand in a table's cell."""
    return " ".join(str(markdown).replace("|", "\\|").split())


def without_html(markdown: str) -> str:
    """Return the Markdown without live HTML, which many of its viewers would obey: tags become text."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", markdown)


def as_html(markdown: str, figures: dict[str, bytes], live: dict[str, dict]) -> str:
    """Return the Markdown as HTML with the figures inside, those in `live` also as the data that a script draws.

    What others wrote into a shared store stands in it: raw HTML is shown, not obeyed; a link that is none to a page
    (`javascript:`) stays text (markdown-it's own rule); of an image that is none of `figures` its description is left.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for opening, token, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if opening.type == "td_open" and token.content == "-":
            opening.attrSet("class", "none")
        for part, text in zip(token.children or [], (token.children or [])[1:], strict=False):
            if part.type == "strong_open" and text.content in (*VERDICTS, "NOT SVHN", "NOT FULL"):
                part.attrSet("class", f"mark {text.content.replace(' ', '-').lower()}")
        for part in token.children or []:
            if part.type != "image":
                continue
            name = str(part.attrs["src"]).removeprefix("figures/")
            if content := figures.get(name):
                part.attrSet("src", "data:image/png;base64," + base64.b64encode(content).decode())
                if name in live and len(token.children or []) == 1:
                    opening.tag = closing.tag = "figure"
                    opening.attrSet("class", "live")
                    part.children = [Token("text", "", 0, content=words_of(live[name]) or part.content)]
                    token.children = [part, Token("html_inline", "", 0, content=as_data(live[name]))]
            else:
                part.type = "text"
    html = parser.renderer.render(tokens, parser.options, {})
    # a wide table is moved sideways in its frame: tabindex, for arrow keys
    return html.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
