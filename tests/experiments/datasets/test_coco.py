"""`yolact data coco` against a server on loopback, with a COCO of three images."""

from __future__ import annotations

import io
import json
import shutil
import zipfile

import pytest
from PIL import Image

from experiments.cli.main import call
from experiments.datasets.find import find_dataset
from tests.support.folders import dataset

PLACES = ["/annotations/annotations_trainval2017.zip", "/zips/val2017.zip", "/zips/train2017.zip"]


def zipped(held):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in held.items():
            opened.writestr(name, content)
    return file.getvalue()


def image():
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def coco(web):
    """The server with three small archives."""
    splits = {f"annotations/instances_{split}2017.json": json.dumps(dataset()) for split in ("train", "val")}
    names = [record["file_name"] for record in dataset()["images"]]
    web.files = {
        PLACES[0]: zipped({**splits, "annotations/captions_val2017.json": "{}"}),
        PLACES[1]: zipped({f"val2017/{name}": image() for name in names}),
        PLACES[2]: zipped({f"train2017/{name}": image() for name in names}),
    }
    return web


def run(web, folder):
    return call(["data", "coco", str(folder), "--host", web.url])


def gets(web):
    return [path for method, path, _ in web.requests if method == "GET"]


def test_a_folder_that_data_takes(coco, tmp_path, capsys):
    assert run(coco, tmp_path / "coco") == 0
    assert f"{tmp_path / 'coco'}: COCO 2017 is complete" in capsys.readouterr().out
    assert gets(coco) == PLACES
    assert sorted(path.name for path in (tmp_path / "coco").iterdir()) == [".download", "annotations", "train2017", "val2017"]
    assert {path.suffix for path in (tmp_path / "coco" / ".download").iterdir()} == {".json"}, "the archives are gone"
    found = find_dataset(str(tmp_path / "coco"))
    assert found.splits == ("train", "val")
    assert found.ensure(tmp_path / "results") == tmp_path / "coco"


def test_a_second_call_fetches_nothing(coco, tmp_path, capsys):
    run(coco, tmp_path)
    coco.requests = []
    assert run(coco, tmp_path) == 0
    assert coco.requests == []
    assert "val2017.zip: all" in capsys.readouterr().err


def test_a_lost_file_is_fetched_again(coco, tmp_path, capsys):
    run(coco, tmp_path)
    lost = next((tmp_path / "val2017").iterdir())
    content = lost.read_bytes()
    lost.unlink()
    coco.requests = []
    assert run(coco, tmp_path) == 0
    assert gets(coco) == [PLACES[1]]
    assert lost.read_bytes() == content
    assert "files are missing" in capsys.readouterr().err


@pytest.mark.parametrize("place", PLACES)
def test_an_archive_that_is_gone_stops_before_anything_is_fetched(coco, tmp_path, place, capsys):
    del coco.files[place]
    assert run(coco, tmp_path) == 2
    assert f"{place}: not there (404" in capsys.readouterr().err
    assert gets(coco) == []


@pytest.mark.parametrize("archive", range(3))
def test_broken_off_anywhere_it_goes_on(coco, tmp_path, archive, capsys):
    """The connection dies for good after 100 bytes of one archive; the next call asks for the rest of that one alone."""
    coco.errors = [200] * (len(PLACES) + archive + 1) + [503] * 3
    coco.cut = [10**9] * archive + [100]
    assert run(coco, tmp_path) == 2
    assert f"{PLACES[archive]}: the server answers 503" in capsys.readouterr().err
    coco.errors, coco.requests = [], []
    assert run(coco, tmp_path) == 0
    assert [(path, asked) for method, path, asked in coco.requests if method == "GET"] == [
        (path, "bytes=100-" if path == PLACES[archive] else None) for path in PLACES[archive:]
    ]
    assert find_dataset(str(tmp_path)).ensure(tmp_path / "results") == tmp_path


def test_a_damaged_archive_is_deleted_and_fetched_anew(coco, tmp_path, capsys):
    whole = coco.files[PLACES[1]]
    coco.files[PLACES[1]] = whole[:60] + bytes(20) + whole[80:]
    assert run(coco, tmp_path) == 2
    assert "val2017.zip: damaged" in (text := capsys.readouterr().err) and "same command again" in text
    coco.files[PLACES[1]] = whole
    assert run(coco, tmp_path) == 0


def test_an_archive_that_leads_out_is_refused(coco, tmp_path, capsys):
    coco.files[PLACES[0]] = zipped({"../evil.json": "{}"})
    assert run(coco, tmp_path / "coco") == 2
    assert "leads out of the folder" in capsys.readouterr().err
    assert not (tmp_path / "evil.json").exists()


def test_room_for_all_is_looked_for_first(coco, tmp_path, capsys, monkeypatch):
    sizes = [len(coco.files[place]) for place in PLACES]
    needed = int(4 * sizes[0] + 1.05 * sizes[1] + 1.05 * sizes[2] + max(sizes))
    free = needed - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, free))
    assert run(coco, tmp_path) == 2
    assert "COCO 2017 needs" in capsys.readouterr().err
    assert gets(coco) == []
    free = 10**9
    assert run(coco, tmp_path) == 0


def test_a_host_that_is_not_there(tmp_path, web, capsys):
    assert call(["data", "coco", str(tmp_path), "--host", "http://127.0.0.1:1"]) == 2
    assert "no connection" in capsys.readouterr().err


def test_a_damaged_list_is_named(coco, tmp_path, capsys):
    run(coco, tmp_path)
    (tmp_path / ".download" / "val2017.zip.json").write_text("{")
    assert run(coco, tmp_path) == 2
    assert "val2017.zip.json: damaged; delete it" in capsys.readouterr().err
