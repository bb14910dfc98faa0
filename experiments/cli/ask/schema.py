"""`yolact schema`"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from experiments.spec.at_scale import schema_at_scales
from experiments.spec.config import run_config
from experiments.spec.schema import Scale, Spec

WHAT: dict[str, Callable[[], dict[str, Any]]] = {
    "spec": lambda: schema_at_scales(Spec),
    "scale": Scale.model_json_schema,
    "config": run_config().model_json_schema,
}


@click.command()
@click.argument("what", type=click.Choice(list(WHAT)))
def schema(what: str) -> None:
    """Print the JSON schema of specs, scales or run configurations, for completion and checks in editors.

    \b
    Example:
      yolact schema spec > spec.schema.json
      yolact schema config
    """
    click.echo(json.dumps(WHAT[what](), indent=2))
