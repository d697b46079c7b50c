"""What surrounds every command: quiet TensorFlow, results alone on standard output, errors and warnings in one line.

TensorFlow's noise is dealt with here and nowhere else. Its C++ side writes to the file descriptor, partly before its own
logger starts, which no setting silences: so the descriptor is set aside while TensorFlow is imported and looks for devices.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator

import click
from tfrecall.cli.printing import Output, discard, say

from tfrecall.errors import IncompleteError, InputError, TfrecallWarning, TrainingError
from tfrecall.text import beginning, brief, replaced, without_styles

# What only another path can mend, so that the path was bad input
_BAD_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES)


@contextlib.contextmanager
def session(*, verbose: bool = False, tensorflow: bool = True, kept: Callable[[], str] = str) -> Iterator[Output]:
    """Run a command's work, and print its result.

    Inside, everything that prints goes to standard error; where that cannot be written to, it is lost and the work goes on.
    Only the `Output` that this gives writes to standard output.

    Parameters
    ----------
    verbose : bool
        Whether to let TensorFlow's messages through, and errors with their tracebacks.
    tensorflow : bool
        Whether the work needs TensorFlow.
    kept : callable, optional
        Called when the work fails or is interrupted; returns what is kept of it, as a sentence, or nothing.

    Yields
    ------
    Output
    """
    output, stderr = Output(sys.stdout), _Lasting(sys.stderr)
    with _signals() as came, contextlib.redirect_stderr(stderr), warnings.catch_warnings():
        warnings.simplefilter("default", TfrecallWarning)
        warnings.showwarning = _show
        try:
            if tensorflow:
                _import_tensorflow(verbose)
            with contextlib.redirect_stdout(stderr):
                yield output
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            _interrupted(output, kept)
        except BrokenPipeError:
            raise
        except Exception as error:  # the last door: its user needs one line, and a way to the rest
            if not came:
                fail(error, verbose, kept)
            if came[0] == signal.SIGINT:
                _interrupted(output, kept)
        if came:  # C code may have made another exception of that which the signal raised, or none
            sys.exit(128 + came[0])


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Make an exception of a signal to end, so that temporary folders are cleaned up; yields the signals that came."""
    came: list[int] = []

    def end(number, frame):
        came.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored, as behind nohup
        before[signal.SIGINT] = signal.signal(signal.SIGINT, end)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupted(output: Output, kept: Callable[[], str]) -> None:
    say("Interrupted while printing the result." if output.used else f"Interrupted: {kept() or 'nothing was written.'}")
    sys.exit(130)


class _Lasting:
    """A stream whose failures do not matter: a log on a disk that is full must not end hours of training."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> int:
        with self._tolerant():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._tolerant():
            self._stream.flush()

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, AttributeError):  # full; closed; not there at all
            discard(self._stream)

    def isatty(self) -> bool:
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def progress(quiet: bool) -> str:
    """Return what training should print: a bar on a terminal, lines elsewhere, nothing if quiet."""
    if quiet:
        return "none"
    return "bar" if sys.stderr.isatty() else "lines"


def _show(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, TfrecallWarning):  # libraries let their own through when they are imported
        say(f"Warning: {message}")


def fail(error: Exception, verbose: bool = False, kept: Callable[[], str] = str) -> None:
    """Say in one line what went wrong, and exit: with 2 if other input would mend it, else with 1."""
    if verbose:
        import traceback

        lines = "".join(traceback.format_exception(error)).splitlines()
        click.echo("\n".join(replaced(line, lambda letter: "\ufffd") for line in lines), err=True)
    rest = "" if isinstance(error, IncompleteError | InputError) else kept()
    say(f"Error: {_message(error)} {rest}")
    bad_path = isinstance(error, OSError) and error.errno in _BAD_PATH and error.filename is not None
    sys.exit(2 if isinstance(error, InputError) or bad_path else 1)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return brief(f"{os.fspath(error.filename)}: {error.strerror}.")
    if isinstance(
        error, InputError | TrainingError | IncompleteError | OSError
    ):  # OSError: a full disk, a file that vanished
        return brief(error)
    # A library's error may say what matters below its first line.
    text = beginning(without_styles(str(error)), 240)
    return (
        f"{type(error).__name__}: {text} (--verbose shows all)" if text else f"{type(error).__name__} (--verbose shows all)"
    )


def _import_tensorflow(verbose: bool) -> None:
    if verbose:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore")
    warnings.simplefilter("default", TfrecallWarning)
    logging.getLogger("absl").setLevel(logging.ERROR)
    with _stderr_set_aside():
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)
        tf.config.list_logical_devices()


@contextlib.contextmanager
def _stderr_set_aside() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(kept, 2)
            noise.seek(0)  # what was said may be why it failed
            sys.stderr.write(noise.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
