"""EXIF or XMP bytes to the orientation that they tell, 1 to 8; nothing else of them is read, no pointer followed."""

import re
from typing import Literal

EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"  # how a JPEG's segments begin
TURNED = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def of_exif(exif: bytes) -> int | None:
    """Tag 0x0112 of the first directory (TIFF 6.0); None: it does not say."""
    start = len(EXIF) if exif.startswith(EXIF) else 0
    order: Literal["little", "big"] = "little" if exif[start : start + 2] == b"II" else "big"
    if exif[start : start + 2] not in (b"II", b"MM"):
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    first = start + number(start + 4, 4)
    last = min(first + 2 + 12 * number(first, 2), len(exif) - 11)
    for at in range(first + 2, last, 12):
        if number(at, 2) == 0x0112:
            value = number(at + 8, {1: 1, 3: 2, 4: 4}.get(number(at + 2, 2), 0))
            return value if 1 <= value <= 8 else None
    return None


def of_xmp(xmp: bytes) -> int | None:
    found = TURNED.search(xmp)
    return int(found[1]) if found else None


def unhexed(text: bytes) -> bytes:
    """Three lines of name and length, then hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""
