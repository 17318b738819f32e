"""Image files as trackers report them: whole, odd, truncated, foreign, and made to take a machine down.

Each is `name -> bytes`; small ones are made in milliseconds. Nothing here uses the decoder under test.
"""

import gzip
import io
import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image, ImageCms

PIXELS = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
PHOTO = Image.fromarray(PIXELS)
ORIENTATION = 0x0112


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def png_chunk(kind, content):
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_with(*chunks):
    plain = encoded(PHOTO)
    return plain[:33] + b"".join(chunks) + plain[33:]


def tiff(entries, content=b""):
    """A little-endian TIFF of one directory; `DATA` among the values stands for where the content begins."""
    begin = 8 + 2 + 12 * len(entries) + 4
    rows = [
        struct.pack("<HHII", tag, kind, count, begin if value == "DATA" else value)
        for tag, kind, count, value in entries
    ]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(rows) + struct.pack("<I", 0) + content


@cache
def deflated_block():
    """A megabyte of zeros, deflated."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)


def deflated_zeros(megabytes):
    """A zlib stream of zeros, put together from equal blocks: to compress hundreds of megabytes would take seconds."""
    block = deflated_block()
    checksum = ((megabytes << 20) % 65_521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + block * megabytes + b"\x03\x00" + checksum.to_bytes(4, "big")


def tiff_of_one_huge_tile():
    content = deflated_zeros(858)
    start = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    return tiff(
        [*start, (322, 4, 1, 30_000), (323, 4, 1, 30_000), (324, 4, 1, "DATA"), (325, 4, 1, len(content))], content
    )


def tiff_of_one_huge_strip():
    content = deflated_zeros(858)
    start = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, "DATA")]
    return tiff([*start, (277, 3, 1, 1), (278, 4, 1, 2**32 - 1), (279, 4, 1, len(content))], content)


def jpeg_of_many_passes(side, passes):
    plain = encoded(Image.new("L", (side, side)), "JPEG", progressive=True)
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + last * passes + b"\xff\xd9"


def bmp_of_runs(side):
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 54 + 1024)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    row = bytes([min(side, 255), 7]) * (side // 255) + bytes([side % 255, 7]) + b"\0\0"
    return head + info + bytes(1024) + row * side + b"\0\1"


def adobe_jpeg(mode):
    return encoded(PHOTO.convert(mode), "JPEG", quality=95)


def frames(form, **options):
    return encoded(PHOTO, form, save_all=True, append_images=[PHOTO.rotate(90), PHOTO.rotate(180)], **options)


def wide_gamut():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return encoded(PHOTO, icc_profile=profile)


SIZE = PHOTO.size
WHOLE = {
    "PNG": lambda: encoded(PHOTO),
    "PNG interlaced 16 bits": lambda: encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)),
    "PNG of 12 bits in 16": lambda: encoded(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 16)),
    "PNG of one bit": lambda: encoded(PHOTO.convert("1")),
    "PNG palette with transparent colours": lambda: encoded(PHOTO.convert("P"), transparency=b"\0\x10\xff"),
    "PNG palette with one transparent colour": lambda: encoded(PHOTO.convert("P"), transparency=3),
    "PNG RGB with one transparent colour": lambda: encoded(PHOTO, transparency=(1, 2, 3)),
    "PNG LA": lambda: encoded(PHOTO.convert("LA")),
    "PNG RGBA": lambda: encoded(PHOTO.convert("RGBA")),
    "PNG with a wide-gamut profile": wide_gamut,
    "PNG with a truncated profile": lambda: png_with(png_chunk(b"iCCP", b"k\0\0" + zlib.compress(b"profile")[:-3])),
    "PNG with odd chunks": lambda: png_with(png_chunk(b"abCd", b"x" * 999), png_chunk(b"tEXt", b"key\0value")),
    "APNG": lambda: frames("PNG"),
    "APNG without frames": lambda: png_with(png_chunk(b"acTL", bytes(8))),
    "JPEG": lambda: encoded(PHOTO, "JPEG"),
    "JPEG grey": lambda: encoded(PHOTO.convert("L"), "JPEG"),
    "JPEG progressive": lambda: encoded(PHOTO, "JPEG", progressive=True),
    "JPEG CMYK": lambda: adobe_jpeg("CMYK"),
    "JPEG YCCK": lambda: adobe_jpeg("CMYK").replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2"),
    "JPEG with bytes behind it": lambda: encoded(PHOTO, "JPEG") + b"<html>" * 1000,
    "JPEG with a broken MPF segment": lambda: encoded(PHOTO, "JPEG").replace(
        b"\xff\xdb", b"\xff\xe2\0\x10MPF\0" + bytes(10) + b"\xff\xdb", 1
    ),
    "MPO": lambda: frames("MPO"),
    "GIF": lambda: encoded(PHOTO, "GIF"),
    "GIF animated": lambda: frames("GIF"),
    "WebP": lambda: encoded(PHOTO, "WEBP"),
    "WebP lossless with alpha": lambda: encoded(PHOTO.convert("RGBA"), "WEBP", lossless=True),
    "WebP animated": lambda: frames("WEBP"),
    "AVIF": lambda: encoded(PHOTO, "AVIF"),
    "JPEG 2000": lambda: encoded(PHOTO, "JPEG2000"),
    "JPEG 2000 codestream": lambda: encoded(PHOTO, "JPEG2000", no_jp2=True),
    "BMP": lambda: encoded(PHOTO, "BMP"),
    "PPM": lambda: encoded(PHOTO, "PPM"),
    "PBM": lambda: encoded(PHOTO.convert("1"), "PPM"),
    "PPM as text": lambda: b"P3\n23 17\n255\n" + b" ".join(b"%d" % value for value in PIXELS.ravel()),
    "TIFF": lambda: encoded(PHOTO, "TIFF"),
    "TIFF LZW": lambda: encoded(PHOTO, "TIFF", compression="tiff_lzw"),
    "TIFF JPEG": lambda: encoded(PHOTO, "TIFF", compression="jpeg"),
    "TIFF CMYK": lambda: encoded(PHOTO.convert("CMYK"), "TIFF"),
    "TIFF of several pages": lambda: frames("TIFF"),
    "big TIFF": lambda: encoded(PHOTO, "TIFF", big_tiff=True),
    **{f"JPEG turned {turn}": lambda turn=turn: encoded(PHOTO, "JPEG", exif=exif(turn)) for turn in range(1, 9)},
    "1 x 1": lambda: encoded(Image.new("RGB", (1, 1))),
    "100 x 1": lambda: encoded(Image.new("RGB", (100, 1))),
    "1 x 100": lambda: encoded(Image.new("RGB", (1, 100)), "JPEG"),
    "TIFF that declares a strip of 2^32 rows": tiff_of_one_huge_strip,
    "JPEG of 300 passes": lambda: jpeg_of_many_passes(1000, 300),
}
"""Files that are images: an RGB image must come out."""

HEAD = encoded(PHOTO, "JPEG")
BROKEN = {
    "empty": (b"", "the file is empty"),
    "one byte": (b"\xff", "not an image"),
    "zeros": (bytes(5000), "zeros only"),
    "text": (b"this is not a photograph\n", "but text"),
    "HTML": (b"\n <!DOCTYPE HTML><html><body>404 Not Found</body></html>", "an HTML page"),
    "JSON": (b'{"error": "rate limit"}', "text (JSON)"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    "SVG with a prologue": (b'<?xml version="1.0"?>\n<!-- x --><svg/>', "an SVG drawing"),
    "git-LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
        "a git-LFS pointer: fetch the file itself",
    ),
    "git-annex pointer": (b"/annex/objects/SHA256E-s7--ab.jpg\n", "a git-annex pointer"),
    "gzip of an image": (gzip.compress(HEAD, mtime=0), "a gzip-compressed file"),
    "ZIP": (b"PK\3\4" + bytes(100), "a ZIP archive"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "EPS": (encoded(PHOTO, "EPS"), "a PostScript (EPS) file"),
    "PSD": (b"8BPS\0\1" + bytes(100), "a Photoshop (PSD) file"),
    "ICO": (encoded(PHOTO, "ICO"), "an icon (ICO)"),
    "TGA": (encoded(PHOTO, "TGA"), "not an image in a known format"),
    "JPEG XL": (b"\xff\x0a" + bytes(50), "a JPEG XL image"),
    "video": (b"\0\0\0\x18ftypmp42" + bytes(100), "a video"),
    "numpy": (b"\x93NUMPY\1\0", "a numpy array"),
    "TIFF of floats": (encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), "no known range"),
    "TIFF of 32 bits": (encoded(Image.fromarray(np.ones((4, 4), np.int32)), "TIFF"), "no known range"),
    "TIFF LAB": (encoded(Image.new("LAB", (4, 4)), "TIFF"), "LAB"),
    "20,000 x 20,000": (
        png_header(20_000, 20_000),
        "89000000 pixels, CODER_MAX_IMAGE_PIXELS (Image size (400000000 pixels)",
    ),
    "60,000 x 60,000": (png_header(60_000, 60_000), "3600000000 pixels"),
    "9,500 x 9,500": (png_header(9_500, 9_500), "9500 x 9500 pixels are more than 89000000, CODER_MAX_IMAGE_PIXELS"),
    "20,000 x 1": (encoded(Image.new("RGB", (20_000, 1)), "JPEG"), "one side is more than 100 times the other"),
    "1 x 40,000": (encoded(Image.new("RGB", (1, 40_000))), "one side is more than 100 times the other"),
    "101 x 1": (encoded(Image.new("RGB", (101, 1))), "101 x 1 pixels: one side"),
    "WebP of 16,383 x 16,383": (
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xfe\x3f\0",
        "268402689 pixels",
    ),
    "GIF screen of 65,535 x 65,535": (
        encoded(PHOTO, "GIF")[:6] + b"\xff\xff\xff\xff" + encoded(PHOTO, "GIF")[10:],
        "4294836225 pixels",
    ),
    "bomb in zTXt": (
        png_with(*[png_chunk(b"zTXt", b"k%d\0\0" % n + deflated_zeros(1)) for n in range(100)]),
        "MAX_TEXT_MEMORY",
    ),
    "bomb in iTXt": (
        png_with(png_chunk(b"iTXt", b"k\0\1\0\0\0" + deflated_zeros(200))),
        "MAX_TEXT_CHUNK",
    ),
    "bomb in iCCP": (png_with(png_chunk(b"iCCP", b"k\0\0" + deflated_zeros(200))), "MAX_TEXT_CHUNK"),
    "TIFF of one huge tile": (tiff_of_one_huge_tile(), "tiles of 900000000 pixels"),
    "PPM as text, 5 million pixels": (b"P3\n2500 2000\n255\n" + b"1 2 3 " * 99, "more than 4000000"),
    "PPM of 16 bits, 5 million pixels": (b"P6\n2500 2000\n65535\n" + bytes(999), "more than 4000000"),
    "BMP of runs, 4.4 million pixels": (bmp_of_runs(2_100), "more than 4000000"),
    "JPEG of 5,000 passes": (jpeg_of_many_passes(1_000, 5_000), "passes over 1000000 pixels"),
}
"""Files that are no images, or that nobody should decode -> what the reason must say."""
