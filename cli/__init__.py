"""The command line: one file a command, which parses, calls the library and prints.

Importing this loads Click alone; a command's own imports happen when it runs.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator

import click

COMMANDS = ("prune", "train", "evaluate", "report", "study", "export", "models", "datasets", "algorithms")


class _Commands(click.Group):
    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"tfrecall.cli.{name}").command

    def resolve_command(self, ctx, args):
        if args and args[0] not in COMMANDS:
            from tfrecall.errors import unknown

            raise click.UsageError(str(unknown("command", args[0], COMMANDS)), ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx, args):
        if not args:  # then Click prints the help
            return super().parse_args(ctx, args)
        with _usage_errors_in_one_line():
            return super().parse_args(ctx, args)

    def main(self, *args, **kwargs):
        from tfrecall.cli import session

        session.escape_foreign(sys.stdout)
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # of help and the like, which is printed outside of any session
            session.discard(sys.stdout)
            click.echo(f"Error: standard output cannot be written to ({error.strerror or error}).", err=True)
            sys.exit(1)

    def invoke(self, ctx):
        with _usage_errors_in_one_line():
            return super().invoke(ctx)


@contextlib.contextmanager
def _usage_errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:  # a group's help, which is no error
        raise
    except click.UsageError as error:
        error.ctx = None  # it would print the usage above the message
        raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tfrecall", message="%(prog)s %(version)s")
def main():
    """Prune Keras models and know, class by class, what pruning does to recall.

    \b
    Start here:
      tfrecall prune                         LeNet-5, digits, half the weights
      tfrecall prune --model vgg16 --ratio 0.5 --algo undecayed
      tfrecall report BEFORE AFTER           any two models or predictions
      tfrecall study init quick > plan.toml  many seeds, and their statistics
    """  # noqa: D301  the \b is Click's mark of a paragraph that is not to be wrapped
