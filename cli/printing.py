"""Printing a report on standard output in the form asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click


def print_report(report: dict, form: str) -> None:
    """Print a report as a table, as JSON or as Markdown."""
    from tfrecall.report import document, terminal

    print_document(report, form, terminal.render, document.to_markdown)


def print_document(content: dict, form: str, render: Callable, to_markdown: Callable[[dict], str]) -> None:
    """Print what one function renders for a terminal and another as Markdown, or the document itself as JSON."""
    from tfrecall.report import document, terminal

    if form == "table":
        terminal.show(render(content))
        return
    text = document.to_json(content) if form == "json" else to_markdown(content)
    if form == "json" and not _can_print(text):
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"  # the same in ASCII
    click.echo(text, nl=False)


def _can_print(text: str) -> bool:
    """Say whether standard output has a code for each character: it may be ASCII, or another old encoding."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
