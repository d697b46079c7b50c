"""Text from anywhere, made safe to show: names, paths and messages may hold what moves a cursor or hides letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

# Zero-width joiners belong to words of Persian and Hindi, and to emoji; all other format characters can only mislead.
_JOINERS = "\u200c\u200d"
_UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")

# ESC [ … letter, ESC ] … BEL or ESC \, and ESC with one character: the sequences with which libraries colour their messages
_STYLES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")

_NOT_PLAIN = re.compile(r"[^\n\t -~]")
_FORMULA = re.compile(r"\s*[=+\-@]")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


def is_safe(letter: str) -> bool:
    """Say whether a character shows as what it is: no control, no direction override, no half of a surrogate pair."""
    return letter in _JOINERS or unicodedata.category(letter) not in _UNSAFE_CATEGORIES


def replaced(text: str, replace: Callable[[str], str]) -> str:
    """Return a text with another text in place of each unsafe character but line breaks and tabs."""
    return _NOT_PLAIN.sub(lambda match: match[0] if is_safe(match[0]) else replace(match[0]), text)


def one_line(text: object) -> str:
    r"""Return a text that takes one line and does nothing to a terminal, a table or a page. All output passes through here.

    White space, line breaks included, becomes single spaces; each other control character, direction override or lone
    surrogate becomes U+FFFD.

    Examples
    --------
    >>> one_line("two\r\nlines \x1b[31m")
    'two lines �[31m'
    """
    return replaced(" ".join(str(text).split()), lambda letter: "\ufffd")


def without_styles(text: str) -> str:
    """Return a text without the escape sequences that colour it."""
    return _STYLES.sub("", text)


def brief(text: object, letters: int = 300, word: int = 120) -> str:
    """Return a text on one line of limited length; … stands for what is left out, in the middle of a word or of the line."""
    line = " ".join(_without_middle(part, word) for part in one_line(text).split(" "))
    if len(line) <= letters:
        return line
    end = letters // 3
    return f"{beginning(line, letters - end)} {line[-end:].partition(' ')[2] or line[-end:]}"


def beginning(text: str, letters: int) -> str:
    """Return the beginning of a text on one line, whole words of it, and … where there was more."""
    text = one_line(text)
    if len(text) <= letters:
        return text
    return f"{text[: letters - 2].rpartition(' ')[0] or text[: letters - 2]} …"


def spreadsheet_cell(text: str) -> str:
    """Return a name for a CSV file: after an apostrophe if a spreadsheet would run it as a formula.

    Line breaks stay, since programs read the file and a quoted cell may hold them.
    """
    text = replaced(text, lambda letter: letter if letter == "\r" else "\ufffd")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _without_middle(text: str, letters: int) -> str:
    if len(text) <= letters:
        return text
    end = letters // 2
    return f"{text[: letters - end - 1]}…{text[-end:]}"
