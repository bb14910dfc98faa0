"""The README tells the truth: its commands parse, its paths exist, its example runs."""

from __future__ import annotations

import json
import re
import shlex

import click
import pytest
from click.testing import CliRunner

from experiments.cli.main import cli
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()
ROOMS = ("yolact/", "experiments/", "analysis/", "notebooks/", "tests/", "docs/")


def commands() -> list[str]:
    """Every `yolact ...` of a code block or a code span, comments cut off."""
    blocks = re.findall(r"^    (yolact .*)$", README, re.MULTILINE)
    spans = re.findall(r"`(yolact [^`]*)`", README)
    return list(dict.fromkeys(command.partition("  #")[0].strip() for command in blocks + spans))


def example() -> str:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    return text


def parse(command: str) -> click.Context:
    """What click makes of a command line, without running it; raises as click does."""
    _, *words = shlex.split(command)
    found: click.Command = cli
    context = click.Context(cli, info_name="yolact")
    while isinstance(found, click.Group):
        name, sub, words = found.resolve_command(context, words)
        assert name and sub
        found = sub
        context = found.make_context(name, list(words), parent=context) if not isinstance(found, click.Group) else context
    return context


def test_the_readme_shows_the_main_commands():
    shown = {command.split()[1] for command in commands()}
    assert shown >= {"list", "plan", "run", "status", "diff", "table", "report", "data"}


@pytest.mark.parametrize("command", commands())
def test_a_command_parses(command):
    parse(command)


def test_a_wrong_option_would_be_noticed():
    with pytest.raises(click.NoSuchOption):
        parse("yolact run nms --scael toy")


@pytest.mark.parametrize("command", [c for c in commands() if re.match(r"yolact (plan|run) (?!.*--(?:data|launcher))", c)])
def test_a_question_can_be_planned(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crop_padding.yaml").write_text(example())
    arguments = ["plan", *shlex.split(command)[2:]]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_the_example_shares_its_one_training_with_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crop_padding.yaml").write_text(example())
    trainings = []
    for spec in ("crop_padding.yaml", "quickstart"):
        done = CliRunner().invoke(cli, ["plan", spec, "--seeds", "0", "--json"], catch_exceptions=False)
        stages = json.loads(done.output)["stages"]
        trainings.append({stage["id"] for stage in stages if stage["kind"] == "train"})
    ours, demo = trainings
    assert len(ours) == 1
    assert ours < demo


def test_links_and_paths_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    spans = [span for span in re.findall(r"`([^`\s]+)`", README) if span.startswith(ROOMS)]
    named = [*links, *spans, *(f"experiments/{room}" for room in ("specs/", "scales/", "data/"))]
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_make_targets_exist():
    targets = re.search(r"^\.PHONY:(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    assert set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(re.findall(r"^    .*|`make [^`]*`", README, re.MULTILINE)))) <= set(
        targets[1].split()
    )


def test_every_spec_is_listed():
    for spec in (ROOT / "experiments" / "specs").glob("*.yaml"):
        assert f"[`{spec.stem}`](experiments/specs/{spec.name})" in README
