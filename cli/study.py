"""``tfrecall study``: many runs over seeds, their statistics, and the page that shows them."""

from __future__ import annotations

import shlex
import sys

import click
from tfrecall.cli import options
from tfrecall.cli.session import session


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
    with session(verbose=verbose, tensorflow=False) as results:
        from tfrecall import study

        text = study.preset(preset)
        with results():
            click.echo(text, nl=False)


@command.command(short_help="Do what is missing of a plan; stop and go on at any time.")
@click.argument("plan", type=click.Path())
@click.option("--output", required=True, metavar="DIR", help="The study's folder. What is there already is used.")
@click.option("--jobs", type=int, help="Processes, of one thread each.  [as many as processors]")
@click.option("--retry-failed", is_flag=True, help="Try again what failed.")
@options.quiet
@options.verbose
def run(plan, output, jobs, retry_failed, quiet, verbose):
    """Train, prune and measure what is missing of PLAN.

    Stopped at any moment, it loses what it is working on and nothing else. Exit code 1 means that some cells failed.
    """
    with session(verbose=verbose, tensorflow=False):  # so that a wrong plan is told of at once
        from tfrecall import study

        chosen = study.read(plan)
    with session(verbose=verbose):
        from tfrecall.cli.watching import watching

        try:
            with watching(quiet) as watch:
                status = study.run(chosen, output, jobs=jobs, retry_failed=retry_failed, watch=watch)
        except KeyboardInterrupt:
            click.echo("Interrupted: what is done is kept, and the same command goes on.", err=True)
            sys.exit(130)
        failures = study.Store.open(output)[0].failures(chosen) if status.failed else {}
    for failure in failures.values():
        click.echo(f"Failed: {failure['what']}: {failure['error']}", err=True)
    if not quiet:
        then = f" Next: tfrecall study report {shlex.quote(output)}" if status.done else ""
        click.echo(f"{status.done} of {status.total} cells are done.{then}", err=True)
    if status.failed:
        click.echo(f"{status.failed} failed: see {output}/failed, and try again with --retry-failed.", err=True)
        sys.exit(1)


@command.command(short_help="How far a study has got.")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--plan", type=click.Path(), help="Another plan than the one that was run last.")
@options.verbose
def status(folder, plan, verbose):
    """Tell what of the study in DIR is done, running, failed and missing, and how long it will take."""
    with session(verbose=verbose, tensorflow=False) as results:
        from tfrecall.cli.watching import table

        from tfrecall import study
        from tfrecall.report import terminal

        store, last = study.Store.open(folder)
        chosen = study.read(plan) if plan else last
        shown = table(study.status(store, chosen), store.failures(chosen))
        with results():
            terminal.show(shown)


@command.command(short_help="Write the tables, the figures and the page.")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.option("--output", metavar="DIR", help="Where to write.  [DIR/report]")
@click.option("--plan", type=click.Path(), help="Another plan than the one that was run last.")
@options.verbose
def report(folder, output, plan, verbose):
    """Write what the study in DIR shows so far: report.html, tables.md, cells.csv, classes.csv and figures."""
    with session(verbose=verbose, tensorflow=False) as results:
        from tfrecall import study

        written = study.report(folder, output, study.read(plan) if plan else None)
        with results(f"the report is in {written}"):
            click.echo(f"{written}/report.html")
