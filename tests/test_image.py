"""Pictures: bytes to one normalised tensor; plain Pillow is the reference, exactly."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from service.errors import InvalidInput, OverLimit, RequestError, UnsupportedType
from service.inputs.geometry import RESAMPLE, Crop, Shortest
from service.inputs.image import Image
from service.inputs.picture import STRIP, UPRIGHT, Upright
from service.limits import Limits
from tests import senses

Pixels = NDArray[Any]


def encode(data: bytes, limits: Limits | None = None, **options: Any) -> Pixels:
    """(C, H, W)."""
    spec = Image.model_validate({"tensors": {"pixels": "pixels"}, "mode": "L", **options})
    return spec.load(None, limits or Limits())(data)["pixels"]  # type: ignore[arg-type]  # an image has no files


def saved(picture: Pillow.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def photo(width: int = 37, height: int = 23, mode: str = "RGB") -> Pillow.Image:
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    return Pillow.fromarray(noise).convert(mode)


# -- the reference ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resample", ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_resizing_is_plain_pillow_exactly(resample: Any, mode: str) -> None:
    picture = photo()
    expected = picture.convert(mode).resize((16, 12), Pillow.Resampling[resample.upper()])
    resize = {"to": "exact", "height": 12, "width": 16, "resample": resample}
    pixels = encode(saved(picture), mode=mode, resize=resize, layout="hwc", dtype="uint8")
    np.testing.assert_array_equal(pixels.reshape(np.asarray(expected).shape), np.asarray(expected))


@pytest.mark.parametrize(("width", "height", "size"), [(37, 23, (25, 16)), (23, 37, (16, 25)), (9, 9, (16, 16))])
def test_the_shortest_edge_keeps_the_aspect_rounded_down(width: int, height: int, size: tuple[int, int]) -> None:
    pixels = encode(saved(photo(width, height)), resize={"to": "shortest", "edge": 16}, dtype="uint8")
    expected = photo(width, height).convert("L").resize(size, Pillow.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels[0], np.asarray(expected))


def test_the_crop_is_the_middle_and_zero_beyond_the_picture() -> None:
    pixels = encode(saved(Pillow.new("L", (4, 8), 7)), crop={"height": 4, "width": 6}, dtype="uint8")
    assert pixels[0].tolist() == [[0, 7, 7, 7, 7, 0]] * 4


def test_numbers_are_scaled_then_normalised_channel_by_channel() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    pixels = encode(saved(photo()), mode="RGB", scale=1 / 255, mean=mean, std=std)
    expected = (np.asarray(photo(), np.float64) / 255 - mean) / std
    np.testing.assert_allclose(pixels, expected.transpose(2, 0, 1), atol=1e-6)
    assert pixels.dtype == np.float32


# -- what pictures really are -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright_whatever_the_camera_wrote(orientation: int, kind: str) -> None:
    upright = Pillow.new("L", (24, 16))
    upright.paste(255, (0, 0, 12, 8))  # the upper left quarter is white
    undone = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the transposition that the camera did
    turned = upright.transpose(Pillow.Transpose(undone[orientation])) if orientation > 1 else upright
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    pixels = encode(saved(turned, kind, exif=exif, lossless=True, quality=95), scale=1 / 255)[0]
    assert pixels.shape == (16, 24)
    assert pixels[:6, :10].mean() > 0.98
    assert pixels[10:].mean() < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "P", "L", "RGB"])
def test_a_large_picture_in_strips_is_what_pillow_makes_of_the_whole(mode: str, orientation: int) -> None:
    stored = photo(700, 500).convert(mode)
    assert stored.width * stored.height > 1.2 * STRIP
    upright = stored.convert("RGB")
    if orientation > 1:
        upright = upright.transpose(UPRIGHT[orientation])
    made = Upright(stored, "RGB", alpha="drop", orientation=orientation)
    np.testing.assert_array_equal(made.whole(), upright)
    np.testing.assert_array_equal(made.levels(), upright)
    for resample in RESAMPLE.values():
        for size in ((320, 90), (90, 800), (600, 400), (400, 600), upright.size):
            np.testing.assert_array_equal(made.resized(size, resample, (0, 0, *size)), upright.resize(size, resample))


@given(
    st.tuples(st.integers(20, 900), st.integers(20, 900)),
    st.sampled_from([16, 24, 32, 64, 224, 256]),
    st.integers(1, 300),
    st.sampled_from(sorted(RESAMPLE)),
)
def test_what_the_crop_leaves_out_need_not_be_resized(
    size: tuple[int, int], edge: int, side: int, resample: str
) -> None:
    picture = photo(*size)
    resize = Shortest.model_validate({"edge": edge, "resample": resample})
    crop = Crop(height=side, width=max(1, side - 7))
    whole = picture.resize(resize.size(*size), RESAMPLE[resample])
    expected = np.asarray(whole.crop(crop.box(*whole.size)))
    pixels = encode(saved(picture), mode="RGB", resize=resize, crop=crop, layout="hwc", dtype="uint8")
    np.testing.assert_array_equal(pixels, expected)


def grey16(levels: list[int]) -> bytes:
    return saved(Pillow.fromarray(np.array([levels], np.uint16)))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sixteen_bit_grey_is_scaled(mode: str) -> None:
    pixels = encode(grey16([0, 256, 257, 32896, 65406, 65407, 65535]), mode=mode, dtype="uint8")
    assert pixels[0, 0].tolist() == [0, 1, 1, 128, 254, 255, 255]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sixteen_bit_grey_can_be_clipped_as_pillow_does(mode: str) -> None:
    pixels = encode(grey16([0, 100, 255, 256, 65535]), mode=mode, depth="clip", dtype="uint8")
    assert pixels[0, 0].tolist() == [0, 100, 255, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize(("alpha", "brightness"), [("white", 1.0), ("drop", 0.0)])
def test_what_is_transparent_is_white_paper_unless_alpha_is_dropped(mode: str, alpha: str, brightness: float) -> None:
    clear = Pillow.new("RGBA", (6, 6), (0, 0, 0, 0))
    data = saved(clear.convert(mode)) if mode != "P" else saved(Pillow.new("P", (6, 6), 0), transparency=0)
    assert encode(data, alpha=alpha, scale=1 / 255).mean() == brightness


@pytest.mark.parametrize(("mode", "transparent"), [("L", 0), ("RGB", (0, 0, 0)), ("1", 0), ("I;16", 0)])
@pytest.mark.parametrize("depth", ["scale", "clip"])
def test_a_transparent_colour_never_makes_a_picture_unreadable(mode: str, transparent: Any, depth: str) -> None:
    assert encode(saved(Pillow.new(mode, (6, 6)), transparency=transparent), depth=depth).shape == (1, 6, 6)


@pytest.mark.parametrize(
    ("mode", "kind", "white"),
    [("1", "PNG", 1), ("P", "PNG", None), ("P", "GIF", None), ("CMYK", "JPEG", (0, 0, 0, 0)), ("L", "JPEG", 255)],
)
@pytest.mark.parametrize("wanted", ["L", "RGB"])
def test_every_kind_of_white_is_white(mode: str, kind: str, white: Any, wanted: str) -> None:
    picture = Pillow.new("L", (8, 8), 255).convert("P") if white is None else Pillow.new(mode, (8, 8), white)
    pixels = encode(saved(picture, kind), mode=wanted, scale=1 / 255)
    assert pixels.shape == (1 if wanted == "L" else 3, 8, 8)
    assert pixels.mean() == pytest.approx(1.0, abs=0.01)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def interlaced(pixels: Pixels) -> bytes:
    """An 8-bit grey PNG in Adam7; Pillow reads, but does not write those."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    lines = [b"\0" + line.tobytes() for x, y, dx, dy in passes for line in pixels[y::dy, x::dx] if line.size]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 1)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"".join(lines))), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_an_interlaced_png_is_the_same_picture() -> None:
    pixels = np.asarray(photo(mode="L"))
    np.testing.assert_array_equal(encode(interlaced(pixels), dtype="uint8")[0], pixels)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Pillow.new("L", (6, 6), level) for level in (255, 0, 0)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert encode(data, scale=1 / 255).mean() == 1.0


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 70}, {"lossless": True, "exact": True}])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("alpha", ["white", "drop"])
def test_a_webp_is_what_pillow_reads(mode: str, options: dict[str, Any], frames: int, alpha: str) -> None:
    picture = photo(700, 500, mode)
    picture.putalpha(picture.convert("L")) if mode == "RGBA" else None
    data = saved(picture, "WEBP", save_all=frames > 1, append_images=[photo(700, 500)] * (frames - 1), **options)
    with Pillow.open(io.BytesIO(data)) as opened:
        expected = encode(saved(opened), mode="RGB", alpha=alpha, dtype="uint8")
    np.testing.assert_array_equal(encode(data, mode="RGB", alpha=alpha, dtype="uint8"), expected)


def test_a_first_frame_that_does_not_fill_a_webp_stands_where_it_belongs() -> None:
    """Canvas 8 x 6, the frame 4 x 4 at (2, 2)."""
    still = saved(Pillow.new("RGBA", (4, 4), (200, 100, 50, 255)), "WEBP", lossless=True)
    bitmap = still[12:]
    frame = b"\1\0\0\1\0\0\3\0\0\3\0\0\x64\0\0\0" + bitmap
    chunks = b"VP8X" + struct.pack("<I", 10) + b"\x12\0\0\0\7\0\0\5\0\0"
    chunks += b"ANIM" + struct.pack("<I", 6) + bytes(6) + b"ANMF" + struct.pack("<I", len(frame)) + frame
    data = b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
    with Pillow.open(io.BytesIO(data)) as opened:
        assert opened.size == (8, 6)
        expected = encode(saved(opened), mode="RGB", dtype="uint8")
    pixels = encode(data, mode="RGB", dtype="uint8")
    np.testing.assert_array_equal(pixels, expected)
    assert pixels[:, 3, 3].tolist() == [200, 100, 50]
    for place in (b"\7\0\0", b"\xff\xff\xff"):  # beyond the canvas
        with pytest.raises(InvalidInput):
            encode(data.replace(frame, place + frame[3:]))


# -- limits -----------------------------------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """A header that promises pixels, and nothing else: whoever decodes it gets an error of another kind."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def progressive(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    data = saved(photo(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    have = data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * (scans - have) + data[-2:]


def several(first: bytes) -> bytes:
    """The same JPEG, marked as the first of a multi-picture file (CIPA DC-007), as cameras write it."""
    mpo = saved(photo(), "MPO", save_all=True, append_images=[photo()])
    marker = mpo.index(b"\xff\xe2")
    length = 2 + int.from_bytes(mpo[marker + 2 : marker + 4], "big")
    return first[:2] + mpo[marker : marker + length] + first[2:]


def chunky(chunks: int) -> bytes:
    data = saved(photo())
    return data[:33] + chunk(b"tEXt", b"a\0b") * chunks + data[33:]


def animated(kind: str, frames: int) -> bytes:
    """Frames of few pixels that all differ, or they would be joined."""
    pictures = [Pillow.new("L", (4, 4), i % 2 * 255) for i in range(frames)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=20)


def boasting(name: bytes, megabytes: int, *, broken: bool = False) -> bytes:
    """A PNG whose text or profile inflates to so much."""
    packed = zlib.compress(bytes(megabytes * 2**20))
    packed = packed[: -len(packed) // 2] + b"\xff" * 2000 if broken else packed
    data = saved(photo())
    return data[:33] + chunk(name, b"k\0\0" + packed) + data[33:]


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (bomb(5001, 5000), 25_000_000),
        (bomb(12_001, 300), 12_000),
        (bomb(51, 1), 50),
        (bomb(1, 51), 50),
        (progressive(65), 64),
        (several(progressive(65)), 64),
        (chunky(2000), 2000),
        (animated("GIF", 1001), 2000),
        (animated("WEBP", 2001), 2000),
        (saved(photo(), "JPEG").replace(b"\xff\xdb", b"\xff\xfe\0\x02" * 2000 + b"\xff\xdb", 1), 2000),
        (boasting(b"zTXt", 5), 4 * 2**20),
        (boasting(b"iCCP", 5), 4 * 2**20),
        (boasting(b"zTXt", 5, broken=True), 4 * 2**20),
    ],
)
def test_limits_are_held_before_a_pixel_is_decoded(data: bytes, limit: int) -> None:
    with pytest.raises(OverLimit) as refusal:
        encode(data)
    assert refusal.value.limit == limit


@pytest.mark.parametrize("data", [progressive(64), several(progressive(64)), chunky(1900)])
def test_up_to_the_limit_pictures_are_taken(data: bytes) -> None:
    assert encode(data).shape == (1, 23, 37)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_that_ends_too_early_is_refused_and_what_follows_its_end_is_ignored(kind: str) -> None:
    data = saved(photo(), kind)
    for end in (len(data) // 3, len(data) // 2, len(data) - 10, len(data) - 1):
        with pytest.raises(InvalidInput):
            encode(data[:end])
    np.testing.assert_array_equal(encode(data + b"PK\3\4" + bytes(1000)), encode(data))


@pytest.mark.parametrize("name", [b"IHDR", b"tEXt", b"IDAT", b"IEND"])
def test_a_png_with_a_wrong_checksum_is_refused(name: bytes) -> None:
    data = bytearray(chunky(1))
    at = data.index(name)
    data[at + 4 + int.from_bytes(data[at - 4 : at], "big")] ^= 1
    with pytest.raises(InvalidInput):
        encode(bytes(data))


@pytest.mark.parametrize("packed", [zlib.compress(bytes(10**7)), zlib.compress(b"\0\0")])
@pytest.mark.parametrize("extra", [b"", chunk(b"tEXt", b"a\0b")])
def test_a_png_with_more_or_fewer_bytes_than_pixels_is_refused(packed: bytes, extra: bytes) -> None:
    header = struct.pack(">IIBBBBB", 200, 100, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed + bytes(30_000)) + chunk(b"IEND", b"")
    with pytest.raises(InvalidInput):
        encode(b"\x89PNG\r\n\x1a\n" + chunks)


def test_limits_are_the_operators() -> None:
    with pytest.raises(OverLimit):
        encode(senses.png(size=(10, 10)), Limits(image_pixels=99))


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "ICO", "PPM", "TGA"])
def test_only_four_formats_are_opened(kind: str) -> None:
    with pytest.raises(UnsupportedType):
        encode(saved(photo(), kind))


def test_a_text_chunk_that_inflates_beyond_measure_is_refused() -> None:
    data = saved(photo())
    bombs = b"".join(chunk(b"zTXt", b"k%d\0\0" % i + zlib.compress(bytes(900_000))) for i in range(8))
    with pytest.raises(InvalidInput):
        encode(data[:33] + bombs + data[33:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@given(data=st.data())
def test_damage_is_a_refusal_or_a_picture_and_never_anything_else(kind: str, data: st.DataObject) -> None:
    good = bytearray(saved(photo(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    try:
        assert encode(damaged, Limits(image_pixels=10_000)).ndim == 3
    except RequestError as refusal:
        status, detail = refusal.status, refusal.detail
        assert 400 <= status < 500
        assert "0x" not in detail


# -- ink --------------------------------------------------------------------------------------------------------------


def drawing(
    size: int = 280, scale: float = 1.0, shift: tuple[int, int] = (0, 0), ink: int = 0, paper: int = 255
) -> Pillow.Image:
    """A seven, drawn with a round pen."""
    picture = Pillow.new("L", (size, size), paper)
    points = [(size / 2 + scale * x + shift[0], size / 2 + scale * y + shift[1]) for x, y in SEVEN]
    ImageDraw.Draw(picture).line(points, ink, round(16 * scale), "curve")
    return picture


SEVEN = [(-45, -60), (45, -60), (-10, 70)]
INK: dict[str, Any] = {"ink": {}, "dtype": "uint8"}


def seen(picture: Pillow.Image) -> NDArray[np.float64]:
    return np.asarray(encode(saved(picture), **INK)[0], np.float64)


def alike(a: Pixels, b: Pixels) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_ink_is_bright_on_black_twenty_pixels_high_and_centred_by_mass() -> None:
    pixels = seen(drawing())
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    assert pixels.shape == (28, 28)
    assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 == 20
    assert pixels.max() == 255
    assert pixels[0, 0] == 0
    for axis in (0, 1):
        centre = pixels.sum(1 - axis) @ np.arange(28) / pixels.sum()
        assert centre == pytest.approx(13.5, abs=0.6)


def test_a_picture_that_is_already_so_hardly_changes() -> None:
    once = seen(drawing())
    twice = seen(Pillow.fromarray(once.astype(np.uint8)))
    assert np.abs(once - twice).mean() < 1


@pytest.mark.parametrize(
    "other",
    [
        drawing(ink=255, paper=0),
        drawing(ink=60, paper=200),
        drawing(shift=(50, -40)),
        drawing(size=840, scale=3),
        drawing(size=560),
        drawing(size=140, scale=0.5),
    ],
    ids=["white on black", "pencil on grey", "off centre", "large", "small on a large canvas", "small"],
)
def test_ink_does_not_depend_on_polarity_contrast_position_or_canvas(other: Pillow.Image) -> None:
    assert alike(seen(drawing()), seen(other)) > 0.95


@pytest.mark.parametrize("paper", [0, 128, 255])
def test_blank_paper_is_black(paper: int) -> None:
    assert not seen(drawing(ink=max(paper - 10, 0), paper=paper)).any()


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_ink_takes_a_picture_of_any_size(width: int, height: int, random: Any) -> None:
    noise = np.array([[random.randrange(256) for _ in range(width)] for _ in range(height)], np.uint8)
    pixels = encode(saved(Pillow.fromarray(noise)), **INK)
    assert pixels.shape == (1, 28, 28)
    assert pixels.dtype == np.uint8
