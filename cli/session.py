"""What surrounds every command: quiet TensorFlow, results alone on standard output, errors and warnings in one line.

TensorFlow's noise is dealt with here and nowhere else. Its C++ side writes to the file descriptor, partly before its own
logger starts, which no setting silences: so the descriptor is set aside while TensorFlow is imported and looks for devices.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator

import click

from tfrecall.errors import IncompleteError, InputError, PruningWarning, TrainingError

_EXPECTED = (InputError, TrainingError, IncompleteError, OSError)  # OSError: a full disk, a file that vanished


@contextlib.contextmanager
def session(
    *, verbose: bool = False, tensorflow: bool = True, kept: Callable[[], str] = str
) -> Iterator[Callable[..., contextlib.AbstractContextManager]]:
    """Run a command's work, and print its results.

    Inside, everything that prints goes to standard error; where that cannot be written to, it is lost and the work goes on.
    Results are printed in the context that is yielded, on standard output; if that fails, it is an error like others.

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
    callable
        ``results(where="")`` returns the context to print in; `where` says where else the results are.
    """
    _open_descriptors()
    stdout, stderr = sys.stdout, _Lasting(sys.stderr)
    with _signals() as came, contextlib.redirect_stderr(stderr):
        try:
            if tensorflow:
                _import_tensorflow(verbose)
            with contextlib.redirect_stdout(stderr):
                yield lambda where="": _results(stdout, where)
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            _interrupted(kept)
        except Exception as error:  # the last door: its user needs one line, and a way to the rest
            if not came:
                _fail(error, verbose, kept)
            if came[0] == signal.SIGINT:
                _interrupted(kept)
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


def _interrupted(kept: Callable[[], str]) -> None:
    click.echo(f"Interrupted: {kept() or 'nothing was written.'}", err=True)
    sys.exit(130)


@contextlib.contextmanager
def _results(stdout, where: str) -> Iterator[None]:
    """Print on standard output; raise OSError in plain words if it is closed, full, or a pipe that nobody reads."""
    if stdout is None:
        raise OSError(_unprinted("it is closed", where))
    escape_foreign(stdout)
    with contextlib.redirect_stdout(stdout):
        try:
            yield
            stdout.flush()
        except OSError as error:
            discard(stdout)
            raise OSError(_unprinted(error.strerror or str(error), where)) from error
        except SystemExit as error:
            if error.code != 1:
                raise
            raise OSError(_unprinted("nobody reads it", where)) from error  # rich exits where a pipe is closed


def escape_foreign(stream) -> None:
    """Have what a stream's encoding has no code for printed as an escape sequence: α and → are in no Latin alphabet."""
    with contextlib.suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")


def _open_descriptors() -> None:
    """Open those of the three standard descriptors that are closed, or the next file would get one, and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free


def _unprinted(reason: str, where: str) -> str:
    return f"the result could not be printed on standard output ({reason}){f'; {where}' if where else ''}."


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


def discard(stream) -> None:
    """Have what a stream still holds, and what comes, written to nowhere: Python would fail again when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def progress(quiet: bool) -> str:
    """Return what training should print: a bar on a terminal, lines elsewhere, nothing if quiet."""
    if quiet:
        return "none"
    return "bar" if sys.stderr.isatty() else "lines"


def _show(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, PruningWarning):  # libraries let their own through when they are imported
        click.echo(f"Warning: {_one_line(message)}", err=True)


def _fail(error: Exception, verbose: bool, kept: Callable[[], str]) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error)
    message = str(error)
    if not isinstance(error, _EXPECTED):
        first = message.strip().partition("\n")[0][:300]
        message = f"{type(error).__name__}: {first} (--verbose shows all)"
    rest = "" if isinstance(error, IncompleteError | InputError) else kept()
    click.echo(f"Error: {_one_line(f'{message} {rest}')}", err=True)
    sys.exit(2 if isinstance(error, InputError) else 1)


def _one_line(text) -> str:
    return " ".join(str(text).split())


def _import_tensorflow(verbose: bool) -> None:
    if verbose:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore")
    warnings.simplefilter("default", PruningWarning)
    warnings.showwarning = _show
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
