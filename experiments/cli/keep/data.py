"""`yolact data`: look at data sets, check them, make or fetch them, declare your own."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import click

from experiments.datasets import datasets
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
    for name in datasets.declared_names():
        dataset = datasets.find_dataset(name)
        if isinstance(dataset, datasets.CocoDataset):
            state = "present" if dataset.root.is_dir() else "absent"
            place = f"{dataset.root} ({state})"
        else:
            place = "generated on first use"
        click.echo(f"{name:<12} {dataset.id}  {', '.join(dataset.splits):<18} {place}")


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
    from yolact.data.check import check_splits

    dataset = datasets.find_dataset(name_or_folder)
    if not isinstance(dataset, datasets.CocoDataset):
        raise DatasetError(f"data set {dataset.name} is generated; `yolact data shapes OUT` makes one that can be checked")
    findings = check_splits({split: dataset.paths(split, dataset.root) for split in dataset.splits})
    findings += _missing_splits(dataset)
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
@click.argument("source", metavar="SBD_DIR", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def sbd(source: Path, out: Path) -> None:
    """Turn the unpacked SBD download (Pascal 2012, .mat files) into a COCO-format folder OUT.

    SBD_DIR is what benchmark.tgz unpacks to. Needs scipy: pip install 'yolact-workbench[sbd]'

    \b
    Example: yolact data sbd benchmark_RELEASE datasets/sbd
    """
    from rich.console import Console
    from rich.progress import track

    from experiments.datasets.sbd import convert_sbd

    terminal = Console(stderr=True)
    hidden = not terminal.is_terminal
    made = convert_sbd(source, out, lambda names, split: track(names, split, console=terminal, disable=hidden))
    for sentence in made.left_out:
        click.echo(f"left out: {sentence}", err=True)
    counts = (f"{split}: {made.images[split]} images, {made.instances[split]} instances" for split in made.images)
    click.echo(f"{out}: " + "; ".join(counts))


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
    from rich.console import Console
    from rich.progress import track

    from experiments.datasets.tiles import tile_dataset

    dataset = datasets.find_dataset(source)
    if not isinstance(dataset, datasets.CocoDataset):
        raise DatasetError(f"data set {dataset.name} is generated; `yolact data shapes OUT` makes one that can be cut")
    terminal = Console(stderr=True)
    hidden = not terminal.is_terminal
    made = tile_dataset(dataset, out, side, lambda ids, split: track(ids, split, console=terminal, disable=hidden))
    click.echo(f"{out}: " + "; ".join(f"{split}: {tiles} tiles, {objects} objects" for split, (tiles, objects) in made.items()))


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

    out = out or datasets.DECLARATIONS / f"{name}.yaml"
    if out.exists():
        raise DatasetError(f"{out}: exists already; choose another --name, or delete it")
    declaration = datasets.declare_folder(folder, name)
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(declaration.to_data(), text)
    try:
        files.write_text(out, text.getvalue())
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written ({error.strerror}); choose a file with --out") from None
    click.echo(f"{out}: declares {name}: {', '.join(declaration.splits)}")


def _missing_splits(dataset: datasets.CocoDataset) -> list[Finding]:
    """A warning for each purpose that no split serves: a set for evaluation alone is sound."""
    purposes = {"to train on": ("train",), "to report results on": ("test", "val")}
    return [
        Finding(
            "warning",
            dataset.root,
            "",
            f"no split {' or '.join(names)} {purpose}",
            f"add annotations/instances_{names[-1]}.json",
        )
        for purpose, names in purposes.items()
        if not set(names) & set(dataset.splits)
    ]


def _print_finding(finding: Finding) -> None:
    place = f"{finding.file}: {finding.record}" if finding.record else str(finding.file)
    click.echo(f"{finding.level:<8} {place}\n         {finding.what}\n         -> {finding.what_to_do}")
