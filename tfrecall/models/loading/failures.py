"""What a library's error says, in one line."""

from __future__ import annotations

import re

# Where Keras's errors go on with a whole configuration, or with a list of all that failed.
_LISTING = re.compile(
    r"\s*(Full object config|Full config|List of objects that could not be loaded|config=\{|using config=)"
)
_EXAMPLE = re.compile(r"Example error message for object (.*?):\s*(.*)", re.DOTALL)
_MISSING = re.compile(r"Could not locate (?:class|function) '([^']+)'|Unknown [\w ]+: '([^']+)'")
_LENGTH = 400


def essence(error: BaseException) -> str:
    """Return the sentences of an error that say what is wrong, in one line.

    Keras nests errors: the innermost, after "Exception encountered", is the cause. Whole configurations are left out.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
        Whole sentences, about 400 characters at most; ends with a full stop.
    """
    if isinstance(error, RecursionError):
        return "its configuration is nested too deeply."
    text = str(error)
    text = text.rpartition("Exception encountered:")[2].strip() or text
    example = _EXAMPLE.search(text)
    if example:
        text = f"{example[1]}: {example[2]}"
    text = " ".join(_LISTING.split(text)[0].split()).rstrip(" ,:")
    if not text or isinstance(error, KeyError | IndexError):  # whose text is only the key
        text = f"{type(error).__name__}{': ' if text else ''}{text}"
    return _sentences(text)


def _sentences(text: str) -> str:
    """Cut a text after a sentence, or after a word where the first sentence is too long."""
    if len(text) > _LENGTH:
        kept = text[:_LENGTH]
        end = max(kept.rfind(". "), kept.rfind("; "))
        text = kept[:end] if end > 0 else f"{kept[: kept.rfind(' ')]} …"
    return text if text.endswith((".", "…", "!", "?")) else f"{text}."


def missing_object(error: BaseException) -> str | None:
    """Return the name of the class or function that Keras did not know, where that is why it failed."""
    match = _MISSING.search(str(error))
    name = next(name for name in match.groups() if name) if match else None
    return None if name == "function" else name  # which is what every function is called in the older formats
