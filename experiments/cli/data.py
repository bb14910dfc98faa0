"""`yolact data`: look at data sets, check them, make the generated one, declare your own."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import click

from experiments import datasets
from yolact.config.data import ShapesConfig
from yolact.data.findings import DatasetError, Finding


@click.group()
def data() -> None:
    """Data sets: list, check, generate, declare.

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
    from yolact.data.shapes import generate_shapes

    config = ShapesConfig()
    known = out.exists()
    generate_shapes(out, config)
    click.echo(f"{out}: {'verified' if known else 'made'}: {config.train} train, {config.val} val, {config.test} test images")


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What specs and `--set data=` call it.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; experiments/data/NAME.yaml by default.")
def declare(folder: Path, name: str, out: Path | None) -> None:
    """Write a declaration for a COCO-format FOLDER, with digests that pin its contents.

    \b
    Example: yolact data declare path/to/folder --name cells
    """
    from ruamel.yaml import YAML

    from yolact import files

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


def _print_finding(finding: Finding) -> None:
    place = f"{finding.file}: {finding.record}" if finding.record else str(finding.file)
    click.echo(f"{finding.level:<8} {place}\n         {finding.what}\n         -> {finding.what_to_do}")
