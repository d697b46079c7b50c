"""Printing a report on standard output in the form asked for."""

from __future__ import annotations

import click


def print_report(report: dict, form: str) -> None:
    """Print a report as a table, as JSON or as Markdown."""
    from tfrecall.report import document, terminal

    if form == "json":
        click.echo(document.to_json(report), nl=False)
    elif form == "markdown":
        click.echo(document.to_markdown(report), nl=False)
    else:
        terminal.show(terminal.render(report))
