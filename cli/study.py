"""``tfrecall study``: many runs over seeds, their statistics, and the page that shows them."""

from __future__ import annotations

import shlex
import sys

import click
from tfrecall.cli import options
from tfrecall.cli.printing import say
from tfrecall.cli.session import session

from tfrecall.text import brief


@click.group(short_help="Many runs over seeds, and what they show together.")
def command():
    """Measure what pruning does to recall over many seeds.

    \b
      tfrecall study init quick > plan.toml
      tfrecall study run plan.toml --output studies/quick
      tfrecall study report studies/quick
    """  # noqa: D301  the \b is Click's mark of a paragraph that is not to be wrapped


@command.command(short_help="Print a commented plan.")
@click.argument("preset", metavar="[PRESET]", default="quick")
@options.verbose
def init(preset, verbose):
    """Print a plan to run or to change.

    \b
    PRESET is one of:
      quick       the default; digits, in minutes: to see what a study is
      lenet5      four algorithms, LeNet-5 on MNIST and Fashion-MNIST
      algorithms  Good et al. 2022: four algorithms, ResNet-56 on CIFAR-10
      sizes-mp    Good et al. 2022: model sizes under magnitude pruning
      sizes-up    Good et al. 2022: model sizes under undecayed pruning
      datasets    Good et al. 2022: CIFAR-10 and CIFAR-100
    """  # noqa: D301  the \b is Click's mark of a paragraph that is not to be wrapped
    with session(verbose=verbose, tensorflow=False) as result:
        from tfrecall import study

        result.text(study.preset(preset))


@command.command(short_help="Do what is missing of a plan; stop and go on at any time.")
@click.argument("plan", type=options.place)
@click.option(
    "--output", type=options.place, required=True, metavar="DIR", help="The study's folder. What is there already is used."
)
@click.option("--jobs", type=int, help="Processes, of one thread each.  [as many as processors]")
@click.option("--retry-failed", is_flag=True, help="Try again what failed.")
@options.quiet
@options.verbose
def run(plan, output, jobs, retry_failed, quiet, verbose):
    """Train, prune and measure what is missing of PLAN.

    Stopped at any moment, it loses what it is working on and nothing else. Exit code 1 means that some cells failed.
    """
    with session(verbose=verbose, tensorflow=False):  # so that a wrong plan is an error at once
        from tfrecall import study

        chosen = study.read(plan)
    with session(verbose=verbose):
        from tfrecall.cli.watching import watching

        try:
            with watching(quiet) as watch:
                status = study.run(chosen, output, jobs=jobs, retry_failed=retry_failed, watch=watch, tell=_damaged)
        except KeyboardInterrupt:
            say("Interrupted: what is done is kept, and the same command goes on.")
            sys.exit(130)
        failures = study.Store.open(output)[0].failures(chosen) if status.failed else {}
    for failure in failures.values():
        say(brief(f"Failed: {failure['what']}: {failure['error']}"))
    if not quiet:
        then = f" Next: tfrecall study report {shlex.quote(output)}" if status.done else ""
        say(f"{status.done} of {status.total} cells are done.{then}")
    if status.failed:
        say(f"{status.failed} failed: see {output}/failed, and try again with --retry-failed.")
        sys.exit(1)


@command.command(short_help="How far a study has got.")
@click.argument("folder", metavar="DIR", type=options.place)
@click.option("--plan", type=options.place, help="Another plan than the one that was run last.")
@options.verbose
def status(folder, plan, verbose):
    """Tell what of the study in DIR is done, running, failed and missing, and how long it will take."""
    with session(verbose=verbose, tensorflow=False) as result:
        from tfrecall.cli.watching import table

        from tfrecall import study

        store, chosen = study.Store.open(folder, study.read(plan) if plan else None)
        inspection = study.inspect(store, chosen.cells)
        progress = study.status(store, chosen, damaged=inspection.damaged)
        result.show(table(progress, store.failures(chosen)))
        for damage in inspection.damaged.values():  # not in the table, which would break paths into lines
            result.line(f"Damaged: {damage}; the next run does it again")
        if inspection.unsigned:
            result.line(f"{len(inspection.unsigned)} results of version 0.1 have no checksums: the next run adds them.")


@command.command(short_help="Write the tables, the figures and the page.")
@click.argument("folder", metavar="DIR", type=options.place)
@click.option("--output", type=options.place, metavar="DIR", help="Where to write.  [DIR/report]")
@click.option("--plan", type=options.place, help="Another plan than the one that was run last.")
@options.verbose
def report(folder, output, plan, verbose):
    """Write what the study in DIR shows so far: report.html, tables.md, cells.csv, classes.csv and figures.

    Exit code 1 means that damaged results were left out, and names them.
    """
    damaged: list[str] = []
    with session(verbose=verbose, tensorflow=False) as result:
        from tfrecall import study

        written = study.report(folder, output, study.read(plan) if plan else None, tell=damaged.append)
        result.elsewhere = f"the report is in {written}"
        result.line(f"{written}/report.html")
    for line in damaged:
        _damaged(line)
    if damaged:
        say(f"`tfrecall study run` does what is damaged again: {len(damaged)} left out here.")
        sys.exit(1)


def _damaged(line: str) -> None:
    say(f"Damaged: {line}")
