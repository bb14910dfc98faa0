"""`yolact data`: look at data sets, check them, make or fetch them, declare your own."""

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
    """Data sets: list, check, generate, fetch, convert, declare.

    \b
    Example: yolact data check path/to/folder
    """


@data.command("list")
def list_() -> None:
    """Declared data sets, with their splits and whether their files are here.

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
    """Tell everything that is wrong with a data set: file, record, what, what to do.

    NAME_OR_FOLDER is a declared data set, a declaration file, or a COCO-format folder. Every image and mask is unpacked.
    Errors would stop a run; warnings would not. The exit status is 1 where there are errors.

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
    """Make the generated data set in the folder OUT, or verify the one that is there.

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
@click.option("--host", default="http://images.cocodataset.org", show_default=True, help="Or a mirror with the same places.")
def coco(folder: Path, host: str) -> None:
    """Fetch COCO 2017 (train, val, annotations) into FOLDER: about 20 GB to load, as much again while it unpacks.

    Room on the disk is checked first, every file's CRC at the end. Broken off, the same command goes on where it stopped.
    FOLDER is then what `--data` takes.

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
    """Turn the unpacked SBD download (Pascal 2012, .mat files) into a COCO-format folder OUT.

    SBD_DIR is what benchmark.tgz unpacks to. Needs scipy: pip install 'yolact-workbench[sbd]'

    \b
    Example: yolact data sbd benchmark_RELEASE datasets/sbd
    """
    _import("sbd", source, out, {})


@data.command()
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--side", type=click.IntRange(min=16), required=True, help="Of each tile, in pixels.")
def tile(source: str, out: Path, side: int) -> None:
    """Cut every image of the data set SOURCE (name, declaration or folder) into square tiles: a COCO-format folder OUT.

    For small objects in large images, which a small network would not see. Objects of which a tile holds less than a quarter
    count as crowds there.

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
    """Turn SOURCE into a COCO-format folder OUT by an importer: sbd, tiles, or the import path of one of your own.

    \b
    Example: yolact data import my_package.formats:Cells raw/ datasets/cells --set channel=2
    """
    from experiments.spec.resolve import parse_setting

    settings = [parse_setting(text) for text in options]
    _import(importer, source, out, {setting.field: setting.value for setting in settings})


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What specs and --data call it.")
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
