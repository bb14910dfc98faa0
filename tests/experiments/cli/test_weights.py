"""`yolact weights`, end to end, with a server on loopback for Hugging Face."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
import torch

from experiments.cli.main import call
from tests.support.networks import TINY, tiny_model
from tests.support.paths import ROOT
from yolact.config.presets import PRESETS, Preset
from yolact.models.checkpoint import read_state_dict, write_state_dict
from yolact.models.official.names import is_official, to_official
from yolact.models.official.published import PUBLISHED

PLACE = "/dbolya/yolact-base/resolve/main/yolact_base_54_800000.pth"


@pytest.fixture
def tiny(monkeypatch):
    """A preset as small as tests need it."""
    base = PRESETS["yolact_base"]
    preset = Preset("tiny", "", TINY, base.training, base.inference, 3)
    monkeypatch.setitem(PRESETS, "tiny", preset)
    return preset


@pytest.fixture
def cache(web, tmp_path, monkeypatch):
    """An empty cache, and the server in Hugging Face's place; a large file lies behind a redirect there."""
    file = io.BytesIO()
    torch.save(to_official(tiny_model()), file)
    web.files[PLACE] = file.getvalue()
    web.redirect = "/cdn"
    monkeypatch.setenv("HF_ENDPOINT", f"{web.url}/")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_the_published_files():
    """Addresses as the authors' README links them; what was not published has none."""
    urls = {name: entry.url for name, entry in PUBLISHED.items() if entry.repository}
    host = "https://huggingface.co/dbolya"
    assert urls == {
        "yolact_base": f"{host}/yolact-base/resolve/main/yolact_base_54_800000.pth",
        "yolact_im700": f"{host}/yolact-im700/resolve/main/yolact_im700_54_800000.pth",
        "yolact_resnet50": f"{host}/yolact-resnet50/resolve/main/yolact_resnet50_54_800000.pth",
        "yolact_darknet53": f"{host}/yolact-darknet53/resolve/main/yolact_darknet53_54_800000.pth",
        "yolact_plus_base": f"{host}/yolact-plus-base/resolve/main/yolact_plus_base_54_800000.pth",
        "yolact_plus_resnet50": f"{host}/yolact-plus-resnet50/resolve/main/yolact_plus_resnet50_54_800000.pth",
        "darknet53_imagenet": f"{host}/yolact-initial-weights/resolve/main/darknet53.pth",
    }
    assert {entry.preset for entry in PUBLISHED.values()} <= set(PRESETS)


@pytest.mark.parametrize("command", [[], ["list"], ["get"], ["convert"]])
def test_help_shows_an_example(command, capsys):
    assert call(["weights", *command, "--help"]) == 0
    assert "Example: yolact weights" in capsys.readouterr().out


def test_list_says_what_is_here_and_what_never_was(cache, capsys):
    assert call(["weights", "list"]) == 0
    text = capsys.readouterr().out
    assert "dbolya/yolact-base/yolact_base_54_800000.pth (not fetched)" in text
    assert "never published" in text and "Google Drive" in text
    call(["weights", "get", "yolact_base"])
    capsys.readouterr()
    call(["weights", "list"])
    assert "yolact_base_54_800000.pth (here)" in capsys.readouterr().out


def test_get_prints_the_path_and_then_verifies(cache, web, capsys):
    path = cache / "yolact_base_54_800000.pth"
    assert call(["weights", "get", "yolact_base"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{path}\n" and "recorded beside it" in shown.err
    assert path.read_bytes() == web.files[PLACE]
    assert json.loads((cache / f"{path.name}.json").read_text())["size"] == path.stat().st_size
    asked = len(web.requests)
    assert call(["weights", "get", "yolact_base"]) == 0
    assert len(web.requests) == asked
    path.write_bytes(b"spoilt")
    assert call(["weights", "get", "yolact_base"]) == 2
    assert "delete it and give the same command again" in capsys.readouterr().err


def test_get_goes_on_after_a_break(cache, web, capsys):
    web.cut = [20_000]
    assert call(["weights", "get", "yolact_base"]) == 0
    assert web.requests[-1] == ("GET", f"/cdn{PLACE}", "bytes=20000-")
    assert (cache / "yolact_base_54_800000.pth").read_bytes() == web.files[PLACE]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("yolact_im400", "never published; train the preset"),
        ("yolact_resnet50_pascal", "Google Drive link only (https://drive.google.com/open?id="),
        ("yolact_bas", "did you mean 'yolact_base'?"),
        ("yolact_im700", "not there (404"),
    ],
)
def test_what_get_cannot_fetch(cache, name, says, capsys):
    assert call(["weights", "get", name]) == 2
    assert says in (text := capsys.readouterr().err) and "Traceback" not in text
    assert not cache.exists() or list(cache.iterdir()) == []


def test_to_official_and_back(tiny, tmp_path, capsys):
    model = tiny_model()
    write_state_dict(model.state_dict(), tmp_path / "w.pt")
    there, back = tmp_path / "official.pth", tmp_path / "back.pt"
    assert (
        call(["weights", "convert", str(tmp_path / "w.pt"), "--to", "official", "--preset", "tiny", "--out", str(there)]) == 0
    )
    assert is_official(read_state_dict(there))
    assert call(["weights", "convert", str(there), "--preset", "tiny", "--out", str(back)]) == 0
    assert f"{back}: {len(model.state_dict())} tensors in the workbench layout" in capsys.readouterr().out
    again = read_state_dict(back)
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_what_was_fetched_converts(cache, tiny, tmp_path, capsys):
    call(["weights", "get", "yolact_base"])
    path = capsys.readouterr().out.strip()
    assert call(["weights", "convert", path, "--preset", "tiny", "--out", str(tmp_path / "w.pt")]) == 0
    assert read_state_dict(tmp_path / "w.pt").keys() == tiny_model().state_dict().keys()


def test_a_stages_weights_need_no_preset(tmp_path):
    model = tiny_model(num_classes=2)
    write_state_dict(model.state_dict(), tmp_path / "weights.pt")
    described = {"model": TINY.to_data(), "category_ids": [4, 9], "class_names": ["a", "b"]}
    (tmp_path / "model.json").write_text(json.dumps(described))
    out = tmp_path / "official.pth"
    assert call(["weights", "convert", str(tmp_path / "weights.pt"), "--to", "official", "--out", str(out)]) == 0
    assert torch.equal(read_state_dict(out)["semantic_seg_conv.bias"], model.semantic.bias)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.pt", "--preset", "tiny", "--out", "o.pt"], "gone.pt: no such weights file"),
        (["w.pt", "--preset", "yolact_bse", "--out", "o.pt"], "did you mean 'yolact_base'?"),
        (["w.pt", "--out", "o.pt"], "--preset must say"),
        (["weights.pt", "--out", "o.pt"], "model.json does not describe a model"),
        (["w.pt", "--preset", "tiny", "--out", "w.pt"], "exists already"),
        (["w.pt", "--preset", "tiny", "--out", "no/o.pt"], "there is no folder no"),
        (["w.pt", "--preset", "fc_mask", "--out", "o.pt"], "missing backbone"),
        (["w.pt", "--preset", "mask_rcnn", "--to", "official", "--out", "o.pt"], "these weights don't fit"),
        (["text.pt", "--preset", "tiny", "--out", "o.pt"], "not readable as tensors"),
    ],
)
def test_convert_says_what_is_wrong(tiny, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    for name in ("w.pt", "weights.pt"):
        write_state_dict(tiny_model().state_dict(), tmp_path / name)
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "text.pt").write_text("text")
    assert call(["weights", "convert", *arguments]) == 2
    assert says in (text := capsys.readouterr().err) and "Traceback" not in text
    assert not (tmp_path / "o.pt").exists()


def test_as_a_command(cache):
    """In a process of its own, without torch until it is needed."""
    get = [sys.executable, "-m", "experiments.cli.main", "weights", "get", "yolact_base"]
    answer = subprocess.run(get, cwd=ROOT, capture_output=True, text=True)
    assert (answer.returncode, answer.stdout) == (0, f"{cache / 'yolact_base_54_800000.pth'}\n"), answer.stderr
    code = "import sys; from experiments.cli.main import call; call(['weights', 'list']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


def test_the_page_names_what_the_table_has():
    page = (ROOT / "docs" / "weights.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(PUBLISHED)
