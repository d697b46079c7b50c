"""What a command prints: its result on standard output, all else in single lines on standard error."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO

import click

from tfrecall.text import one_line


class Output:
    """Standard output, where a command's result is printed and nothing else.

    Attributes
    ----------
    used : bool
        Whether printing has begun, so that the work is done.
    elsewhere : str
        Where else the result is, for the message when it cannot be printed; empty if nowhere.
    """

    def __init__(self, stream: IO[str] | None):
        self.used = False
        self.elsewhere = ""
        self._stream = stream

    def text(self, text: str) -> None:
        """Print a text as it is."""
        with self._writing() as stream:
            stream.write(text)

    def line(self, text: object) -> None:
        """Print a text on one line."""
        self.text(f"{one_line(text)}\n")

    def show(self, renderable) -> None:
        """Print what rich renders."""
        from tfrecall.report import terminal

        with self._writing() as stream:
            terminal.show(renderable, stream)

    def document(self, document: dict, form: str, *, table: Callable, markdown: Callable) -> None:
        """Print a document as JSON, or as the table or the Markdown that these functions make of it."""
        if form == "json":
            self._json(document)
        elif form == "markdown":
            self.text(markdown(document))
        else:
            self.show(table(document))

    def report(self, report: dict, form: str) -> None:
        """Print a report as a table, as JSON or as Markdown."""
        from tfrecall.report import document, terminal

        self.document(report, form, table=terminal.render, markdown=document.to_markdown)

    def _json(self, document: dict) -> None:
        from tfrecall.report.document import to_json

        text = to_json(document)
        try:
            text.encode(getattr(self._stream, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            text = to_json(document, ascii_only=True)
        self.text(text)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[IO[str]]:
        self.used = True
        if self._stream is None:
            raise OSError(self._unprinted("it is closed"))
        if hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="backslashreplace")  # a terminal may lack letters
        try:
            yield self._stream
            self._stream.flush()
        except BrokenPipeError:  # a reader such as head has seen enough, which Click knows
            raise
        except OSError as error:
            discard(self._stream)
            raise OSError(self._unprinted(error.strerror or str(error))) from error

    def _unprinted(self, reason: str) -> str:
        where = f"; {self.elsewhere}" if self.elsewhere else ""
        return f"the result could not be printed on standard output ({reason}){where}."


def discard(stream: IO[str] | None) -> None:
    """Let what a stream still holds go nowhere: Python would try again to write it at its end, and complain."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def say(text: object) -> None:
    """Print a text on one line of standard error."""
    try:
        click.echo(one_line(text), err=True)
    except OSError:  # standard error is gone too
        discard(sys.stderr)
