"""Zip archives that are sound, damaged or hostile."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import zipfile

import pytest
from rich.console import Console

from experiments.datasets.fetch.meter import Meter
from experiments.datasets.fetch.request import DownloadError
from experiments.datasets.fetch.unpack import ArchiveError, DamagedArchiveError, unpack

FILES = {"a/1.txt": b"one" * 1000, "a/b/2.txt": b"two", "3.txt": b""}


@pytest.fixture
def meter():
    return Meter(Console(file=io.StringIO()))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def archive(path, held=FILES, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as opened:
        opened.mkdir("empty")
        for name, content in held.items():
            entry = zipfile.ZipInfo("x", (2020, 1, 1, 0, 0, 0))
            entry.filename = name
            opened.writestr(entry, content, method)
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_comes_out(tmp_path, folder, meter):
    held = unpack(archive(tmp_path / "a.zip"), folder, meter)
    assert held == {name: len(content) for name, content in FILES.items()}
    assert contents(folder) == FILES


def test_a_second_call_finishes_the_first(tmp_path, folder, meter, monkeypatch):
    path = archive(tmp_path / "a.zip")
    copy, copied = shutil.copyfileobj, []

    def one_only(source, target, length):
        if copied:
            target.write(b"half")
            raise KeyboardInterrupt
        copied.append(source.name)
        copy(source, target, length)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", one_only)
        with pytest.raises(KeyboardInterrupt):
            unpack(path, folder, meter)
    assert contents(folder) == {"a/1.txt": FILES["a/1.txt"]}, "no half file, no file aside"
    before = (folder / "a/1.txt").stat().st_mtime_ns
    unpack(path, folder, meter)
    assert contents(folder) == FILES
    assert (folder / "a/1.txt").stat().st_mtime_ns == before


@pytest.mark.parametrize("other", [b"own work", b"eno" * 1000])
def test_files_of_ones_own_are_not_overwritten(tmp_path, folder, meter, other):
    (folder / "a").mkdir()
    (folder / "a/1.txt").write_bytes(other)
    with pytest.raises(ArchiveError, match=r"a/1\.txt differs from what a\.zip holds; move it away"):
        unpack(archive(tmp_path / "a.zip"), folder, meter)
    assert contents(folder) == {"a/1.txt": other}


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "a/..", "C:\\out.txt"])
def test_names_that_lead_out_are_refused_before_anything_is_written(tmp_path, folder, meter, name):
    path = archive(tmp_path / "a.zip", {"good.txt": b"1", name: b"2"})
    with pytest.raises(ArchiveError, match="leads out of the folder"):
        unpack(path, folder, meter)
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "out"] and contents(folder) == {}


def test_links_in_the_archive_are_refused(tmp_path, folder, meter):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr(link, "/etc")
    with pytest.raises(ArchiveError, match="is a link"):
        unpack(tmp_path / "a.zip", folder, meter)


@pytest.mark.parametrize("what", ["a", "a/1.txt"])
def test_links_in_the_folder_are_not_followed(tmp_path, folder, meter, what):
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / what).parent.mkdir(exist_ok=True)
    (folder / what).symlink_to(outside)
    with pytest.raises(ArchiveError):
        unpack(archive(tmp_path / "a.zip"), folder, meter)
    assert contents(outside) == {}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_is_one_message_or_no_damage(tmp_path, folder, meter, method):
    """Any bytes overwritten, any end cut off: what comes out has the archive's CRCs."""
    rng = random.Random(0)
    whole = archive(tmp_path / "a.zip", {"a.txt": rng.randbytes(300), "b.txt": b"b" * 300}, method).read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.3 else whole)
        for _ in range(2 if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / "a.zip").write_bytes(damaged)
        shutil.rmtree(folder)
        folder.mkdir()
        try:
            unpack(tmp_path / "a.zip", folder, meter)
        except (ArchiveError, DownloadError) as error:
            assert "a.zip" in str(error)
            refused += 1
    assert refused > 50


def test_a_wrong_crc_is_damage_and_leaves_no_file(tmp_path, folder, meter):
    path = archive(tmp_path / "a.zip", {"a.txt": b"content"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"contemt"))
    with pytest.raises(DamagedArchiveError, match="CRC"):
        unpack(path, folder, meter)
    assert contents(folder) == {}


def test_room_is_looked_for_before_unpacking(tmp_path, folder, meter, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 0, 3002))
    with pytest.raises(DownloadError, match=r"unpacking a\.zip needs 2\.9 KiB"):
        unpack(archive(tmp_path / "a.zip"), folder, meter)
    assert contents(folder) == {}
