"""Downloads against a server on loopback that breaks, changes and refuses."""

from __future__ import annotations

import errno
import io
import json
import random
import shutil
import threading

import pytest
from rich.console import Console

from experiments.datasets.fetch import download as module
from experiments.datasets.fetch.download import download, remote_size, require_space
from experiments.datasets.fetch.meter import Meter
from experiments.datasets.fetch.pinned import fetch, torch_checkpoints
from experiments.datasets.fetch.request import DownloadError

CONTENT = random.Random(0).randbytes(1_000_000)


@pytest.fixture
def meter():
    return Meter(Console(file=io.StringIO()))


@pytest.fixture
def there(web):
    """The address of a file."""
    web.files["/a.bin"] = CONTENT
    return f"{web.url}/a.bin"


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(web):
    return [asked for _, _, asked in web.requests]


def broken_off(web, meter, url, path, at=300_000):
    """A first call that ends with `at` bytes kept."""
    tries = len(module.DELAYS)
    web.cut, web.errors = [at], [200] + [503] * (tries + 1)
    with pytest.raises(DownloadError, match=r"503.*kept in"):
        download(url, path, meter)
    assert leftovers(path.parent) == ["a.bin.part", "a.bin.part.json"]
    assert (path.parent / "a.bin.part").stat().st_size == at
    web.errors, web.cut, web.requests = [], [], []


@pytest.mark.parametrize("lengths", [True, False])
def test_a_whole_file(web, there, meter, tmp_path, lengths):
    web.lengths = lengths
    download(there, tmp_path / "sub" / "a.bin", meter)
    assert (tmp_path / "sub" / "a.bin").read_bytes() == CONTENT
    assert leftovers(tmp_path / "sub") == ["a.bin"]


def test_an_empty_file(web, meter, tmp_path):
    web.files["/none"] = b""
    download(f"{web.url}/none", tmp_path / "none", meter)
    assert (tmp_path / "none").read_bytes() == b""


@pytest.mark.parametrize("marks", [True, False])
def test_broken_connections_are_taken_up_again_within_one_call(web, there, meter, tmp_path, marks):
    web.marks, web.cut = marks, [100_000] * 5
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(web) == [None, *(f"bytes={n}00000-" for n in range(1, 6))], "more breaks than tries, each brought bytes"


@pytest.mark.parametrize("marks", [True, False])
def test_a_later_call_goes_on(web, there, meter, tmp_path, marks):
    web.marks = marks
    broken_off(web, meter, there, tmp_path / "a.bin")
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(web) == ["bytes=300000-"]
    assert leftovers(tmp_path) == ["a.bin"]


def test_ranges_survive_a_redirect(web, there, meter, tmp_path):
    web.redirect = "/elsewhere"
    broken_off(web, meter, there, tmp_path / "a.bin")
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(web) == ["bytes=300000-"] * 2


def test_a_server_without_ranges_sends_all_again(web, there, meter, tmp_path):
    web.ranges = False
    broken_off(web, meter, there, tmp_path / "a.bin")
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_breaks_is_given_up(web, there, meter, tmp_path):
    web.ranges, web.cut = False, [500_000] * 100
    with pytest.raises(DownloadError, match=r"ended after 500000 of 1000000 bytes; tried 4 times.*488\.3 KiB are kept"):
        download(there, tmp_path / "a.bin", meter)
    assert len(web.requests) == 4


@pytest.mark.parametrize(("marks", "new"), [(True, CONTENT[::-1]), (False, CONTENT[::-1] + b"more"), (True, b"short")])
def test_a_file_that_changed_meanwhile_comes_whole(web, there, meter, tmp_path, marks, new):
    web.marks = marks
    broken_off(web, meter, there, tmp_path / "a.bin")
    web.files["/a.bin"] = new
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == new


@pytest.mark.parametrize("marks", [True, False])
def test_another_address_begins_anew(web, there, meter, tmp_path, marks):
    web.marks = marks
    broken_off(web, meter, there, tmp_path / "a.bin")
    web.files["/b.bin"] = CONTENT[::-1]
    download(f"{web.url}/b.bin", tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("note", [None, "", "{}", '{"url": 1, "total": 2, "mark": 3}', "[]"])
def test_bytes_of_unknown_origin_are_dropped(web, there, meter, tmp_path, note):
    (tmp_path / "a.bin.part").write_bytes(b"?" * 1000)
    if note is not None:
        (tmp_path / "a.bin.part.json").write_text(note)
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(("length", "sent"), [(len(CONTENT), 1), (len(CONTENT) + 5, 2)])
def test_a_part_that_is_whole_or_too_long(web, there, meter, tmp_path, length, sent):
    """Killed between the last byte and the renaming; or bytes from who knows where."""
    broken_off(web, meter, there, tmp_path / "a.bin")
    (tmp_path / "a.bin.part").write_bytes((CONTENT + b"extra")[:length])
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert len(web.requests) == sent


@pytest.mark.parametrize(("status", "says"), [(404, "not there"), (403, "access refused"), (400, "answers 400")])
def test_refusals_are_final(web, there, meter, tmp_path, status, says):
    web.errors = [status]
    with pytest.raises(DownloadError, match=says) as error:
        download(there, tmp_path / "a.bin", meter)
    assert there in str(error.value)
    assert len(web.requests) == 1
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_that_may_pass_are_tried_again(web, there, meter, tmp_path, status):
    web.errors = [status, status]
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_web_page_is_no_file(web, there, meter, tmp_path):
    web.content_type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="web page"):
        download(there, tmp_path / "a.bin", meter)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file:///etc/hostname", "no address"),
        ("http://127.0.0.1:1/a", "no connection"),
        ("http://[", "no address"),
        ("http://127.0.0.1:x/", "no (address|connection)"),
        ("", "no address"),
    ],
)
def test_addresses_that_lead_nowhere(web, meter, tmp_path, url, says):
    with pytest.raises(DownloadError, match=says):
        download(url, tmp_path / "a.bin", meter)
    assert leftovers(tmp_path) == []


def test_a_disk_too_small_is_told_before_anything_comes(web, there, meter, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 10, len(CONTENT) - 1))
    with pytest.raises(DownloadError, match=r"needs 976\.\d KiB of disk space, 976\.\d KiB are free; make room"):
        download(there, tmp_path / "a.bin", meter)
    assert leftovers(tmp_path) == []
    require_space(tmp_path, len(CONTENT) - 1, "this")


def test_a_resumed_download_needs_room_for_the_rest_alone(web, there, meter, tmp_path, monkeypatch):
    broken_off(web, meter, there, tmp_path / "a.bin")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 0, 700_000))
    download(there, tmp_path / "a.bin", meter)


def test_a_disk_that_fills_up_keeps_what_came(web, there, meter, tmp_path, monkeypatch):
    whole = module._write

    def full(file, chunk):
        if module._length(file) > 400_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(file, chunk)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_write", full)
        with pytest.raises(DownloadError, match=r"No space left on device; make room.*are kept in"):
            download(there, tmp_path / "a.bin", meter)
    download(there, tmp_path / "a.bin", meter)
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert ranges(web)[-1].startswith("bytes=")


def test_a_folder_that_cannot_be_made_is_named(web, there, meter, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"file/a\.bin\.part: can't be written \(.*\); choose another folder"):
        download(there, tmp_path / "file" / "a.bin", meter)


def test_two_at_once_are_told(web, there, meter, tmp_path):
    with module._locked(tmp_path / "a.bin.part"), pytest.raises(DownloadError, match="another process is fetching it"):
        download(there, tmp_path / "a.bin", meter)


def test_many_at_once_leave_one_whole_file(web, there, tmp_path):
    """Each ends with the file or with the message; nobody spoils it."""
    odd = []

    def one():
        try:
            download(there, tmp_path / "a.bin", Meter(Console(file=io.StringIO())))
        except DownloadError as error:
            if "another process" not in str(error):
                odd.append(error)
        except BaseException as error:
            odd.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert odd == []
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_a_failed_check_drops_the_file(web, there, meter, tmp_path):
    def refuse(path):
        assert path.read_bytes() == CONTENT
        raise DownloadError("no")

    with pytest.raises(DownloadError, match="no"):
        download(there, tmp_path / "a.bin", meter, refuse)
    assert leftovers(tmp_path) == []


def test_the_size_is_asked_without_the_contents(web, there):
    assert remote_size(there) == len(CONTENT)
    assert [method for method, _, _ in web.requests] == ["HEAD"]
    with pytest.raises(DownloadError, match="not there"):
        remote_size(f"{web.url}/none")


def test_the_first_download_is_recorded_and_later_ones_compared(web, there, meter, tmp_path):
    path = tmp_path / "a.bin"
    assert fetch(there, path, meter) == "downloaded"
    record = json.loads((tmp_path / "a.bin.json").read_text())
    # SHA-256 of the same bytes by another tool: python -c "random.Random(0).randbytes(1_000_000)" | sha256sum
    assert (record["url"], record["size"]) == (there, 1_000_000)
    assert record["sha256"] == "ed48e435b45deec4e86bda9b614f132e835da816dd6a1457693fee3394541239"
    assert fetch(there, path, meter) == "verified"
    assert len(web.requests) == 1

    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(DownloadError, match=r"recorded as 1000000 bytes.*delete it and give the same command again"):
        fetch(there, path, meter)

    path.unlink()
    assert fetch(there, path, meter) == "downloaded"

    path.unlink()
    web.files["/a.bin"] = CONTENT[::-1]
    with pytest.raises(DownloadError, match=r"has changed since.*delete .*a\.bin\.json"):
        fetch(there, path, meter)
    assert leftovers(tmp_path) == ["a.bin.json"]
    (tmp_path / "a.bin.json").unlink()
    assert fetch(there, path, meter) == "downloaded"


def test_a_file_put_there_by_hand_is_recorded(web, meter, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"by hand")
    assert fetch(f"{web.url}/a.bin", tmp_path / "a.bin", meter) == "recorded"
    assert fetch(f"{web.url}/a.bin", tmp_path / "a.bin", meter) == "verified"
    assert web.requests == []


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"size": 1}'])
def test_a_broken_record_is_named(web, there, meter, tmp_path, record):
    (tmp_path / "a.bin.json").write_text(record)
    with pytest.raises(DownloadError, match=r"a\.bin\.json: not a record"):
        fetch(there, tmp_path / "a.bin", meter)


@pytest.mark.parametrize(
    "environment", [{}, {"TORCH_HOME": "/a/b"}, {"XDG_CACHE_HOME": "/c"}, {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/c"}]
)
def test_the_cache_is_torch_hubs(monkeypatch, environment):
    import torch

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(torch_checkpoints()) == f"{torch.hub.get_dir()}/checkpoints"


def test_progress_on_a_terminal_and_elsewhere(web, there, tmp_path, monkeypatch):
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
        monkeypatch.setattr("experiments.datasets.fetch.meter.LINE_SECONDS", 0.0)
        with Meter(console) as meter:
            meter.start("the file")
            download(there, tmp_path / f"{terminal}", meter)
        text = console.file.getvalue()
        assert "the file" in text
        assert "KiB of 976.6 KiB" in text
