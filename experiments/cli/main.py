"""The `yolact` command. Its subcommands are imported when called."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from yolact.errors import UserError

COMMANDS = {
    "list": ("experiments.cli.ask.list:list_specs", "List the specs and their sizes at each scale."),
    "plan": ("experiments.cli.ask.plan:plan", "Show which stages a spec would run, and why."),
    "run": ("experiments.cli.ask.run:run", "Run a spec: train, predict, measure."),
    "status": ("experiments.cli.watch.status:status", "Show the states of stages in a results folder."),
    "logs": ("experiments.cli.watch.logs:logs", "Print the log of a stage."),
    "retry": ("experiments.cli.watch.retry:retry", "Run failed stages again."),
    "cancel": ("experiments.cli.watch.cancel:cancel", "Stop waiting or running stages; running ones save a checkpoint."),
    "results": ("experiments.cli.keep.results:results", "Manage stored results: list, remove, clean up, export, merge."),
    "doctor": ("experiments.cli.keep.doctor:doctor", "Check machine, environment, data and scheduler before a long run."),
    "diff": ("experiments.cli.ask.diff:diff", "Compare two stages or two runs: settings and results."),
    "table": ("experiments.cli.ask.report:table", "Print the results of an experiment as a table."),
    "gallery": ("experiments.cli.ask.gallery:gallery", "Show the prototypes of a network image by image on an HTML page."),
    "report": ("experiments.cli.ask.report:report", "Write the results of an experiment as an HTML page."),
    "predict": ("experiments.cli.use.predict:predict", "Segment instances in images and video with a trained network."),
    "evaluate": ("experiments.cli.use.measure:evaluate", "Compute COCO metrics of a file of detections."),
    "speed": ("experiments.cli.use.measure:speed", "Measure latency and frames per second of a network."),
    "export": ("experiments.cli.use.export:export", "Write a network as one file, for ONNX or torch.export."),
    "data": ("experiments.cli.keep.data:data", "Check, make, fetch and describe data sets."),
    "weights": ("experiments.cli.keep.weights:weights", "Fetch published weights, convert weights."),
    "schema": ("experiments.cli.ask.schema:schema", "Print the JSON schema of specs, scales or configurations."),
}
PIPE = 141
"""Exit status after a broken pipe, as in `yolact plan nms | head -1`: 128 + SIGPIPE, as in other programs."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Exit with status PIPE on a broken pipe. click and rich would exit with 1, which means a failure."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as error:
        if not any(isinstance(each, BrokenPipeError) for each in (error, error.__context__)):
            raise
        raise click.exceptions.Exit(PIPE) from None


class LazyGroup(click.Group):
    """A group that imports its commands when they are called, so that help imports none of them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        return getattr(import_module(module), attribute)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _reader_may_leave():  # help is printed here
            return super().make_context(*arguments, **options)

    def invoke(self, context: click.Context) -> Any:
        with _reader_may_leave():
            return super().invoke(context)

    def resolve_command(self, context: click.Context, arguments: list[str]):
        from yolact.config.base import nearest

        if arguments and arguments[0] not in COMMANDS and not arguments[0].startswith("-"):
            raise UserError(f"unknown command {arguments[0]!r}{nearest(arguments[0], list(COMMANDS))}")
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """Ablations of YOLACT, a real-time instance segmenter: plan, train, measure, report.

    \b
    Example:
      yolact plan quickstart --scale toy
      yolact run quickstart --scale toy --seeds 0
      yolact report quickstart --scale toy
    """


def main() -> None:
    """Entry point. A user's error prints one message and exits with status 2; a bug prints its traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that supports only ASCII can't print "±"
    from experiments.stages.custom_code import import_from_working_directory

    import_from_working_directory()
    status = call(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = PIPE
    if status == PIPE:  # Python flushes its buffer when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def call(arguments: list[str]) -> int:
    """Run one command line; return the exit status."""
    try:
        result = cli.main(arguments, prog_name="yolact", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except UserError as error:
        return _fail(str(error))
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        message = os_message(error)
        if message is None:
            raise
        return _fail(message)


def os_message(error: OSError) -> str | None:
    """The message for an error caused by the machine; None for one caused by the code."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in FULL:
        return f"the disk is full{where}. What was finished is kept; make room and give the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write{where}. Choose another folder (--results, --out), or change its owner"
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return f"{error.strerror}{where}: a file stands where a folder is needed, or the other way round"
    return None


def _fail(message: str) -> int:
    click.echo(f"Error: {message}", err=True)
    return 2


if __name__ == "__main__":
    main()
