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
from collections.abc import Iterator

import click

from tfrecall.errors import InputError, TfrecallWarning, TrainingError


@contextlib.contextmanager
def session(*, verbose: bool = False, tensorflow: bool = True) -> Iterator[None]:
    """Run a command's work.

    Inside, everything that prints goes to standard error; the command prints its result afterwards.

    Parameters
    ----------
    verbose : bool
        Whether to let TensorFlow's messages through, and errors with their tracebacks.
    tensorflow : bool
        Whether the work needs TensorFlow.
    """
    with _signals() as came:
        try:
            if tensorflow:
                _import_tensorflow(verbose)
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            _interrupted()
        except Exception as error:  # the last door: its user needs one line, and a way to the rest
            if not came:
                _fail(error, verbose)
            if came[0] == signal.SIGINT:
                _interrupted()
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


def _interrupted() -> None:
    click.echo("Interrupted: nothing was written.", err=True)
    sys.exit(130)


def progress(quiet: bool) -> str:
    """Return what training should print: a bar on a terminal, lines elsewhere, nothing if quiet."""
    if quiet:
        return "none"
    return "bar" if sys.stderr.isatty() else "lines"


def _show(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, TfrecallWarning):  # libraries let their own through when they are imported
        click.echo(f"Warning: {_one_line(message)}", err=True)


def _fail(error: Exception, verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error)
    message = str(error)
    if not isinstance(error, InputError | TrainingError | OSError):  # OSError: a full disk, a file that vanished
        first = message.strip().partition("\n")[0][:300]
        message = f"{type(error).__name__}: {first} (--verbose shows all)"
    click.echo(f"Error: {_one_line(message)}", err=True)
    sys.exit(2 if isinstance(error, InputError) else 1)


def _one_line(text) -> str:
    return " ".join(str(text).split())


def _import_tensorflow(verbose: bool) -> None:
    if verbose:
        import tensorflow  # noqa: F401

        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore")
    warnings.simplefilter("default", TfrecallWarning)
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
