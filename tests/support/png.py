"""A strict reader of PNGs: a palette, two bits per pixel, no filter."""

import struct
import zlib
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PAPER, BAND, INK, RED = range(4)


@dataclass(frozen=True, slots=True)
class Picture:
    """The pixels of an image, row by row, as places in its palette."""

    rows: list[list[int]]
    palette: list[tuple[int, int, int]]

    def where(self, colour: int) -> set[tuple[int, int]]:
        """Return all (x, y) of a colour, y from the top."""
        return {(x, y) for y, row in enumerate(self.rows) for x, pixel in enumerate(row) if pixel == colour}


def read_png(image: bytes) -> Picture:
    """Return the pixels of an image that has a head, a palette and data, and nothing else."""
    assert image.startswith(SIGNATURE)
    at, names, chunks = len(SIGNATURE), list[bytes](), dict[bytes, bytes]()
    while at < len(image):
        (length,), name = struct.unpack(">I", image[at : at + 4]), image[at + 4 : at + 8]
        data, end = image[at + 8 : at + 8 + length], at + 12 + length
        assert struct.unpack(">I", image[end - 4 : end]) == (zlib.crc32(name + data),)
        names.append(name)
        chunks[name], at = data, end
    assert (names, at) == ([b"IHDR", b"PLTE", b"IDAT", b"IEND"], len(image))
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [2, 3, 0, 0, 0]
    raw, size = zlib.decompress(chunks[b"IDAT"]), 1 + width // 4
    assert len(raw) == height * size
    rows = [raw[place : place + size] for place in range(0, len(raw), size)]
    assert all(row[0] == 0 for row in rows)
    pixels = [[byte >> shift & 3 for byte in row[1:] for shift in (6, 4, 2, 0)] for row in rows]
    colours = chunks[b"PLTE"]
    return Picture(pixels, [tuple(colours[place : place + 3]) for place in range(0, len(colours), 3)])  # type: ignore[misc]
