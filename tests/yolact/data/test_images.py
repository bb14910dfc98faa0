"""How each kind of stored image becomes RGB, and what is said of files that cannot."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.folders import pixels, truncate
from yolact.data.findings import DatasetError
from yolact.data.images import image_path, read_image, read_pixels

ORIENTATION = 0x0112
RGB = pixels()


def grey(values):
    return np.repeat(values[..., None], 3, axis=2)


def test_rgb_is_channels_first_uint8(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    assert np.array_equal(image.permute(1, 2, 0).numpy(), RGB)


def cmyk(path):
    Image.fromarray(RGB).convert("CMYK").save(path)
    return np.asarray(Image.open(path).convert("RGB"))


def rgba(path):
    alpha = np.full((20, 30, 1), 10, np.uint8)
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(path)
    return RGB  # alpha dropped, not blended


def palette(path):
    image = Image.fromarray(RGB).quantize(16)
    image.save(path)
    return np.asarray(image.convert("RGB"))


def transparent_palette(path):
    image = Image.fromarray(RGB).quantize(16)
    image.save(path, transparency=bytes(16))
    return np.asarray(image.convert("RGB"))


def eight_bit_grey(path):
    Image.fromarray(RGB[..., 0]).save(path)
    return grey(RGB[..., 0])


def grey_alpha(path):
    Image.fromarray(RGB[..., :2].copy(), "LA").save(path)
    return grey(RGB[..., 0])


def one_bit(path):
    Image.fromarray(RGB[..., 0] > 127).save(path)
    return grey((RGB[..., 0] > 127).astype(np.uint8) * 255)


def sixteen_bit(path):
    values = RGB[..., 0].astype(np.uint16) * 256 + 77
    Image.fromarray(values).save(path)
    return grey(RGB[..., 0])  # the high byte


@pytest.mark.parametrize(
    ("write", "suffix"),
    [
        (eight_bit_grey, "png"),
        (grey_alpha, "png"),
        (one_bit, "png"),
        (palette, "png"),
        (transparent_palette, "png"),
        (rgba, "png"),
        (rgba, "webp"),
        (sixteen_bit, "png"),
        (sixteen_bit, "tif"),
        (cmyk, "jpg"),
        (cmyk, "tif"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_kind_becomes_rgb(tmp_path, write, suffix):
    path = tmp_path / f"a.{suffix}"
    expected = write(path)
    found = read_pixels(path)
    assert found.shape == (20, 30, 3)
    if suffix == "webp":  # lossy
        return
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("frame", ["upright", "stored", "unknown"])
def test_exif_orientation(tmp_path, orientation, frame):
    """Applied where that gives the annotated size or nothing is known; not where only the stored size fits."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    sideways = orientation >= 5
    upright_size = (30, 20) if sideways else (20, 30)
    size = {"upright": upright_size, "stored": (20, 30), "unknown": None}[frame]
    found = read_pixels(tmp_path / "a.png", size)
    upright = {  # definition of the tag in the EXIF standard: which corner the stored first row and column are
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: RGB.transpose(1, 0, 2)[:, ::-1],
        7: RGB.transpose(1, 0, 2)[::-1, ::-1],
        8: RGB.transpose(1, 0, 2)[::-1],
    }[orientation]
    assert np.array_equal(found, RGB if sideways and frame == "stored" else upright)


def missing(path):
    pass


def text(path):
    path.write_text("not an image")


def empty(path):
    path.write_bytes(b"")


def folder(path):
    path.mkdir()


def cut_png(path):
    Image.fromarray(RGB).save(path, format="PNG")
    truncate(path)


def cut_jpeg(path):
    Image.fromarray(np.kron(RGB, np.ones((8, 8, 1), np.uint8))).save(path, format="JPEG")
    truncate(path)


def floating(path):
    Image.fromarray(RGB[..., 0].astype(np.float32)).save(path, format="TIFF")


def postscript(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 20\nshowpage\n")


def huge(path):
    path.write_bytes(b"P5 10000 9000 255\n")


def bomb(path):
    path.write_bytes(b"P5 20000 20000 255\n")


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (missing, "is missing"),
        (text, "not an image"),
        (empty, "not an image"),
        (folder, "cannot be read"),
        (cut_png, "cut short"),
        (cut_jpeg, "cut short"),
        (floating, "floating-point"),
        (postscript, "not an image of a kind that is read"),
        (huge, "pixels; scale it down"),
        (bomb, "pixels; scale it down"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_unusable_files_are_named(tmp_path, write, says):
    path = tmp_path / "picture"
    write(path)
    with pytest.raises(DatasetError, match=says) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_size_mismatch_is_refused(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="30 x 20, the annotations say 31 x 20"):
        read_image(tmp_path / "a.png", (20, 31))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.png", "a/../../secret.png", "", "out.png", "sub/secret.png", "a\0b"]
)
def test_names_cannot_leave_the_folder(tmp_path, name):
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "secret.png").write_bytes(b"")
    (images / "out.png").symlink_to(tmp_path / "secret.png")
    (images / "sub").symlink_to(tmp_path)
    with pytest.raises(DatasetError, match="leads out of"):
        image_path(images, name)


def test_links_inside_the_folder_and_a_linked_folder_are_fine(tmp_path):
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    (images / "sub" / "a.png").write_bytes(b"")
    (images / "b.png").symlink_to(images / "sub" / "a.png")
    (tmp_path / "link").symlink_to(images)
    assert image_path(images, "b.png").exists()
    assert image_path(tmp_path / "link", "sub/a.png").exists()
