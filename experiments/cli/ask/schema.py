"""`yolact schema`"""

from __future__ import annotations

import json

import click

from experiments.spec.config import run_config
from experiments.spec.schema import Scale, Spec
from yolact.config import Config

WHAT: dict[str, type[Config]] = {"spec": Spec, "scale": Scale, "config": run_config()}


@click.command()
@click.argument("what", type=click.Choice(list(WHAT)))
def schema(what: str) -> None:
    """JSON schema of specs, scales or the configuration whose fields they name. Editors complete and check by it.

    \b
    Example:
      yolact schema spec > spec.schema.json
      yolact schema config
    """
    click.echo(json.dumps(WHAT[what].model_json_schema(), indent=2))
