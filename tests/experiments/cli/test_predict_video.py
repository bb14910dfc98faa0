"""`yolact predict` on video, from the command line to what it prints and writes."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from tests.experiments.cli.test_measure import YOLACT, photos, run, write_result  # noqa: F401 (a fixture)
from tests.support.folders import write_video
from yolact.data.video import VideoError, VideoWriter, open_video
from yolact.evaluation.results import from_records
from yolact.inference import predict_video as predict_video_module
from yolact.inference.drawing import draw
from yolact.inference.predict_video import find_videos

FRAMES, RATE = 8, 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return write_result(tmp_path_factory.mktemp("trained") / "result", YOLACT)


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "clip.mov", FRAMES, RATE)


def frames_of(path):
    with open_video(path) as reader:
        return list(reader)


def predict(capsys, trained, out, *arguments):
    return run(capsys, "predict", *arguments, "--result", trained, "--out", out, "--device", "cpu")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_frame_is_drawn_and_written(tmp_path, capsys, trained, clip):
    out = tmp_path / "out"
    status, printed, _ = predict(capsys, trained, out, clip)
    assert status == 0 and re.search(rf" in {FRAMES} frames, \d+\.\d per second: {out / 'clip.mp4'}\n$", printed)
    assert names(out) == ["clip.detections.json", "clip.images.json", "clip.mp4"]
    listed = json.loads((out / "clip.images.json").read_text())
    assert [image["id"] for image in listed["images"]] == list(range(1, FRAMES + 1))
    assert [image["time"] for image in listed["images"]] == pytest.approx([place / RATE for place in range(FRAMES)])
    assert {image["file_name"] for image in listed["images"]} == {str(clip)}
    assert listed["categories"] == [{"id": 5, "name": "disc"}, {"id": 90, "name": "star"}]

    records = json.loads((out / "clip.detections.json").read_text())
    assert {record["image_id"] for record in records} == set(range(1, FRAMES + 1))
    assert printed.startswith(f"{len(records)} detections")
    first = [record for record in records if record["image_id"] == 1]
    size = listed["images"][0]["height"], listed["images"][0]["width"]
    assert size == (48, 64) and len(from_records(first, [5, 90], *size)) == len(first) > 0

    drawn, plain = frames_of(out / "clip.mp4"), frames_of(clip)
    assert len(drawn) == FRAMES
    assert all(np.abs(a.pixels.astype(int) - b.pixels).mean() > 5 for a, b in zip(drawn, plain, strict=True))


def test_a_frame_is_looked_at_as_a_picture_is(tmp_path, capsys, trained, clip):
    from PIL import Image

    Image.fromarray(frames_of(clip)[2].pixels).save(tmp_path / "third.png")
    assert predict(capsys, trained, tmp_path / "out", clip, tmp_path / "third.png")[0] == 0
    of_video = json.loads((tmp_path / "out" / "clip.detections.json").read_text())
    of_picture = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [{**r, "image_id": 0} for r in of_video if r["image_id"] == 3] == [{**r, "image_id": 0} for r in of_picture] != []


def test_nothing_found_is_an_empty_list_and_an_unchanged_video(tmp_path, capsys, trained, clip):
    predict(capsys, trained, tmp_path / "out", clip, "--threshold", "1")
    assert json.loads((tmp_path / "out" / "clip.detections.json").read_text()) == []
    for drawn, plain in zip(frames_of(tmp_path / "out" / "clip.mp4"), frames_of(clip), strict=True):
        assert np.abs(drawn.pixels.astype(int) - plain.pixels).mean() < 8


def test_pictures_and_videos_of_one_name_go_side_by_side(tmp_path, capsys, trained, photos, clip):  # noqa: F811
    other = write_video(tmp_path / "Clip.mkv", 2, RATE)
    out = tmp_path / "out"
    status, printed, _ = predict(capsys, trained, out, photos, clip, other, clip)
    assert status == 0 and len(printed.splitlines()) == 3
    videos = {name for name in names(out) if name.endswith(".mp4")}
    assert videos == {"clip.mp4", "Clip-2.mp4"} and {"detections.json", "images.json", "a.png"} <= set(names(out))


def test_a_half_broken_video_keeps_what_was_read_and_says_so(tmp_path, capsys, trained):
    path = write_video(tmp_path / "cut.mkv", FRAMES, RATE, noise=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
    status, printed, error = predict(capsys, trained, tmp_path / "out", path)
    listed = json.loads((tmp_path / "out" / "cut.images.json").read_text())["images"]
    assert status == 2 and f"in {len(listed)} frames" in printed and 1 < len(listed) < FRAMES
    assert "cut.mkv: it breaks off at" in error and "Traceback" not in error
    assert len(frames_of(tmp_path / "out" / "cut.mp4")) == len(listed)


def test_a_broken_video_is_passed_over_and_leaves_nothing(tmp_path, capsys, trained, clip):
    broken = tmp_path / "broken.mp4"
    broken.write_text("hello")
    out = tmp_path / "out"
    status, printed, error = predict(capsys, trained, out, broken, clip)
    assert status == 2 and f"in {FRAMES} frames," in printed
    assert "broken.mp4: not a video that can be read" in error and "Traceback" not in error
    assert names(out) == ["clip.detections.json", "clip.images.json", "clip.mp4"]


def test_results_of_before_stay_whole_when_a_run_ends_early(tmp_path, capsys, trained, clip, monkeypatch):
    out = tmp_path / "out"
    predict(capsys, trained, out, clip)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    left, threads = iter(range(3)), threading.active_count()

    def stop_late(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr("yolact.inference.drawing.draw", stop_late)
    monkeypatch.setattr("yolact.data.video.ENCODERS", ("mpeg4",))  # which writes each frame at once
    assert predict(capsys, trained, out, clip)[0] == 130
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert threading.active_count() == threads


@contextmanager
def inline(work, depth):
    yield work


@pytest.fixture
def encoded(monkeypatch):
    """(time, pixels) of every frame given to the encoder."""
    frames, write = [], VideoWriter.write

    def record(self, pixels, time):
        frames.append((time, pixels.tobytes()))
        write(self, pixels, time)

    monkeypatch.setattr(VideoWriter, "write", record)
    return frames


def test_overlapping_changes_no_frame_and_no_record(tmp_path, capsys, trained, clip, monkeypatch, encoded):
    """Frames are compared as given to the encoder: the bytes that FFmpeg made of equal frames differed on one machine."""
    predict(capsys, trained, tmp_path / "overlapped", clip)
    overlapped, encoded[:] = list(encoded), []
    monkeypatch.setattr("yolact.inference.predict_video.ahead", lambda items, depth: (item for item in items))
    monkeypatch.setattr("yolact.inference.predict_video.behind", inline)
    predict(capsys, trained, tmp_path / "one by one", clip)
    assert overlapped == encoded and len(encoded) == FRAMES
    for name in ("clip.detections.json", "clip.images.json"):
        assert (tmp_path / "overlapped" / name).read_bytes() == (tmp_path / "one by one" / name).read_bytes()


@pytest.mark.parametrize("late", ["decoder", "writer"])
def test_a_frame_in_flight_is_not_changed(tmp_path, capsys, trained, clip, monkeypatch, encoded, late):
    """Whichever side is ahead: the decoder as far as it may be, or every frame drawn before the next is decoded."""
    predict(capsys, trained, tmp_path / "free", clip)
    free, encoded[:] = list(encoded), []
    real_ahead, real_behind = predict_video_module.ahead, predict_video_module.behind
    if late == "decoder":
        monkeypatch.setattr("yolact.inference.predict_video.ahead", lambda items, depth: (item for item in items))
        monkeypatch.setattr("yolact.inference.predict_video.behind", lambda work, depth: real_behind(work, FRAMES))
    else:
        monkeypatch.setattr("yolact.inference.predict_video.ahead", lambda items, depth: real_ahead(list(items), FRAMES))
        monkeypatch.setattr("yolact.inference.predict_video.behind", drawn_at_the_end)
    predict(capsys, trained, tmp_path / "late", clip)
    assert encoded == free


@contextmanager
def drawn_at_the_end(work, depth):
    """All work done after the network has seen the last frame."""
    waiting = []
    yield lambda *arguments: waiting.append(arguments)
    for arguments in waiting:
        work(*arguments)


def failing(after, error):
    left = iter(range(after))

    def fail(*arguments, **options):
        if next(left, None) is None:
            raise error

    return fail


@pytest.mark.parametrize(
    ("broken", "error", "status", "message"),
    [
        ("_upright", VideoError("clip.mov: the decoder gave up"), 2, "clip.mov: the decoder gave up"),
        ("VideoWriter.write", VideoError("the encoder gave up"), 2, "the encoder gave up"),
        ("VideoWriter.write", OSError(errno.ENOSPC, "No space left on device"), 2, "the disk is full"),
        ("_upright", KeyboardInterrupt(), 130, ""),
    ],
    ids=["decoder", "encoder", "full disk", "interrupt"],
)
def test_whichever_part_fails_ends_all(tmp_path, capsys, trained, clip, monkeypatch, broken, error, status, message):
    from yolact.data import video

    owner, _, name = f"yolact.data.video.{broken}".rpartition(".")
    real = video.VideoWriter.write if name == "write" else video._upright
    fail = failing(3, error)
    monkeypatch.setattr(f"{owner}.{name}", lambda *arguments: (fail(), real(*arguments))[1])
    out, threads = tmp_path / "out", threading.active_count()
    ended, _, said = predict(capsys, trained, out, clip)
    assert ended == status and message in said and "Traceback" not in said
    assert names(out) == [] and threading.active_count() == threads


@pytest.mark.slow
def test_ctrl_c_ends_the_command_at_once(tmp_path, trained):
    """As a user does it: to a process of its own, while frames are decoded, looked at and drawn."""
    clip = write_video(tmp_path / "long.mov", 300, RATE)
    out = tmp_path / "out"
    command = ["predict", str(clip), "--result", str(trained), "--out", str(out), "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "experiments.cli.main", *command], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (any(path.stat().st_size > 2000 for path in out.glob(".*.json.*.tmp"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in said
    assert names(out) == []


def test_a_source_is_never_overwritten(tmp_path, capsys, trained, photos):  # noqa: F811
    path = write_video(photos / "clip.mp4", 2, RATE)
    for source in (path, photos / "b.png"):
        content = source.read_bytes()
        status, _, error = predict(capsys, trained, photos / ".." / "photos", source)
        assert status == 2 and "would take the place of its source" in error
        assert source.read_bytes() == content
    os.symlink(photos / "b.png", tmp_path / "b.png")
    assert predict(capsys, trained, tmp_path, photos / "b.png")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere.mp4"], "nowhere.mp4: no such video"), (["clip.mov", "nowhere"], "nowhere: no such picture or folder")],
)
def test_what_is_wrong_is_named(tmp_path, capsys, monkeypatch, trained, clip, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, _, error = predict(capsys, trained, tmp_path / "out", *arguments)
    assert status == 2 and message in error and not (tmp_path / "out").exists()


def test_without_pyav_pictures_still_work(tmp_path, capsys, monkeypatch, trained, photos, clip):  # noqa: F811
    monkeypatch.setitem(sys.modules, "av", None)
    status, printed, error = predict(capsys, trained, tmp_path / "out", photos / "b.png", clip)
    assert status == 2 and "in 1 images" in printed and "yolact-workbench[video]" in error


def test_a_folder_is_no_video_whatever_its_name(tmp_path):
    (tmp_path / "frames.mp4").mkdir()
    assert find_videos([tmp_path / "frames.mp4"]) == ([], [tmp_path / "frames.mp4"])
