"""`yolact data`: list, check, generate, fetch, convert and declare data sets."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import click

from experiments.datasets.coco_folder import declare_folder
from experiments.datasets.declarations import DECLARATIONS, declared_names
from experiments.datasets.find import find_dataset
from yolact.config.data import ShapesConfig
from yolact.data.findings import DatasetError, Finding


@click.group()
def data() -> None:
    """List, check, generate, fetch, convert and declare data sets.

    \b
    Example: yolact data check path/to/folder
    """


@data.command("list")
def list_() -> None:
    """List declared data sets, with their splits and whether their files exist.

    \b
    Example: yolact data list
    """
    for name in declared_names():
        dataset = find_dataset(name)
        click.echo(f"{name:<12} {dataset.id}  {', '.join(dataset.splits):<18} {dataset.describe()}")


@data.command()
@click.argument("name_or_folder")
@click.pass_context
def check(context: click.Context, name_or_folder: str) -> None:
    """List every fault of a data set: file, record, fault, what to do.

    NAME_OR_FOLDER is a declared data set, a declaration file, or a COCO-format folder. Every image and mask is decoded.
    Errors would stop a run; warnings would not. The exit status is 1 if there are errors.

    \b
    Example: yolact data check path/to/folder
    """
    dataset = find_dataset(name_or_folder)
    findings = dataset.check()
    for finding in findings:
        _print_finding(finding)
    levels = Counter(finding.level for finding in findings)
    click.echo(f"{name_or_folder}: {', '.join(dataset.splits)}: {levels['error']} errors, {levels['warning']} warnings")
    context.exit(1 if levels["error"] else 0)


@data.command()
@click.argument("out", type=click.Path(path_type=Path))
def shapes(out: Path) -> None:
    """Generate the data set of shapes in the folder OUT, or verify an existing one.

    \b
    Example: yolact data shapes datasets/shapes
    """
    from yolact.data.synthetic.shapes import generate_shapes

    config = ShapesConfig()
    known = out.exists()
    generate_shapes(out, config)
    click.echo(f"{out}: {'verified' if known else 'made'}: {config.train} train, {config.val} val, {config.test} test images")


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--host", default="http://images.cocodataset.org", show_default=True, help="Host, or a mirror with the same paths."
)
def coco(folder: Path, host: str) -> None:
    """Fetch COCO 2017 (train, val, annotations) into FOLDER: a download of about 20 GB, and as much again to unpack it.

    Free disk space is checked first, every file's CRC at the end. After an interruption the same command resumes.
    Give FOLDER to `--data` afterwards.

    \b
    Example: yolact data coco datasets/coco
    """
    from experiments.datasets.fetch.coco import download_coco
    from experiments.datasets.fetch.meter import Meter

    with Meter() as meter:
        download_coco(folder, host, meter, meter.say)
    click.echo(f"{folder}: COCO 2017 is complete")


@data.command()
@click.argument("source", metavar="SBD_DIR")
@click.argument("out", type=click.Path(path_type=Path))
def sbd(source: str, out: Path) -> None:
    """Convert the unpacked SBD download (Pascal 2012, .mat files) to a COCO-format folder OUT.

    SBD_DIR is the unpacked folder of benchmark.tgz. Needs scipy: pip install 'yolact-workbench[sbd]'

    \b
    Example: yolact data sbd benchmark_RELEASE datasets/sbd
    """
    _import("sbd", source, out, {})


@data.command()
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--side", type=click.IntRange(min=16), required=True, help="Side of each tile, in pixels.")
def tile(source: str, out: Path, side: int) -> None:
    """Cut every image of the data set SOURCE (name, declaration or folder) into square tiles: a COCO-format folder OUT.

    Tiles make small objects in large images detectable by a small network. An object of which a tile contains less than a
    quarter counts as a crowd in that tile.

    \b
    Example: yolact data tile nuclei datasets/nuclei_tiles --side 80
    """
    _import("tiles", source, out, {"side": side})


@data.command("import")
@click.argument("importer")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--set", "options", multiple=True, metavar="FIELD=VALUE", help="An option of the importer; may be repeated.")
def import_(importer: str, source: str, out: Path, options: tuple[str, ...]) -> None:
    """Convert SOURCE to a COCO-format folder OUT by an importer: sbd, tiles, or the import path of your own.

    \b
    Example: yolact data import my_package.formats:Cells raw/ datasets/cells --set channel=2
    """
    from experiments.spec.resolve import parse_setting

    settings = [parse_setting(text) for text in options]
    _import(importer, source, out, {setting.field: setting.value for setting in settings})


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name for specs and --data.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; experiments/data/NAME.yaml by default.")
def declare(folder: Path, name: str, out: Path | None) -> None:
    """Write a declaration for a COCO-format FOLDER, with digests that pin its contents.

    \b
    Example: yolact data declare path/to/folder --name cells
    """
    from ruamel.yaml import YAML

    from yolact.runtime import files

    out = out or DECLARATIONS / f"{name}.yaml"
    if out.exists():
        raise DatasetError(f"{out}: exists already; choose another --name, or delete it")
    declaration = declare_folder(folder, name)
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(declaration.to_data(), text)
    try:
        files.write_text(out, text.getvalue())
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written ({error.strerror}); choose a file with --out") from None
    click.echo(f"{out}: declares {name}: {', '.join(declaration.splits)}")


def _import(name: str, source: str, out: Path, options: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.progress import track

    from experiments.datasets.importers import importer

    terminal = Console(stderr=True)
    hidden = not terminal.is_terminal
    chosen = importer(name, options)
    made = chosen.run(source, out, lambda items, split: track(items, split, console=terminal, disable=hidden))
    for sentence in made.left_out:
        click.echo(f"left out: {sentence}", err=True)
    click.echo(f"{out}: {made}")


def _print_finding(finding: Finding) -> None:
    place = f"{finding.file}: {finding.record}" if finding.record else str(finding.file)
    click.echo(f"{finding.level:<8} {place}\n         {finding.what}\n         -> {finding.what_to_do}")
