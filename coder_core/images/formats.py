"""Which image files are taken: by the suffix of their name when listed, by their first bytes when decoded.

A folder may hold anything, so a suffix decides what is meant to be an image; what such a file holds decides how it is
read. A photograph called `.txt`, or without a suffix, is not taken (a bucket would have to be asked about every object
to find it), but whoever lists the folder is told what it is.
"""

__all__ = ["FORMATS", "HEIF_SUFFIXES", "IMAGE_SUFFIXES", "has_image_suffix", "name_content"]

HEIF_SUFFIXES = (".heic", ".heics", ".heif", ".heifs", ".hif")
"""Telephones' format; needs the extra `heif`. Without it such a file is a broken image whose reason names the extra."""

IMAGE_SUFFIXES = tuple(
    sorted(
        (
            *(".bmp", ".dib", ".gif", ".png", ".apng", ".tif", ".tiff", ".webp", ".avif", ".avifs"),
            *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
            *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
            *(".ppm", ".pgm", ".pbm", ".pnm"),
            *HEIF_SUFFIXES,
        )
    )
)
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what is decoded (MPO is opened as JPEG). It knows 30 more, one of which runs Ghostscript on what it
is given."""

SNIFFED_BYTES = 512

_TAKEN = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"II+\0": "a TIFF image",
    b"MM\0+": "a TIFF image",
    b"\0\0\0\x0cjP  \r\n\x87\n": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image",
}
_FOREIGN = {
    b"%PDF-": "a PDF document",
    b"%!PS": "a PostScript (EPS) file",
    b"\xc5\xd0\xd3\xc6": "a PostScript (EPS) file",
    b"8BPS": "a Photoshop (PSD) file",
    b"gimp xcf": "a GIMP (XCF) file",
    b"\0\0\1\0": "an icon (ICO)",
    b"icns": "an icon (ICNS)",
    b"\xff\x0a": "a JPEG XL image",
    b"\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL image",
    b"II\xbc\1": "a JPEG XR image",
    b"qoif": "a QOI image",
    b"DDS ": "a DDS texture",
    b"SIMPLE  =": "a FITS file",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile",
    b"FOVb": "a raw photograph",
    b"FUJIFILMCCD-RAW": "a raw photograph",
    b"\x1f\x8b": "a gzip-compressed file",
    b"BZh": "a bzip2-compressed file",
    b"\xfd7zXZ\0": "an xz-compressed file",
    b"\x28\xb5\x2f\xfd": "a zstd-compressed file",
    b"PK\3\4": "a ZIP archive",
    b"PK\5\6": "a ZIP archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\7": "a RAR archive",
    b"\x93NUMPY": "a numpy array",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"SQLite format 3\0": "an SQLite database",
    b"\x1aE\xdf\xa3": "a video",
    b"OggS": "a sound or video",
    b"ID3": "a sound",
    b"MZ": "a program",
    b"\x7fELF": "a program",
    b"version https://git-lfs.github.com/spec/": "a git-LFS pointer: fetch the file itself (git lfs pull)",
}
_TEXT_BEGINNINGS = {
    "<svg": "an SVG drawing",
    "<!doctype svg": "an SVG drawing",
    "<!doctype html": "an HTML page, as servers send it instead of a file",
    "<html": "an HTML page, as servers send it instead of a file",
    "<head": "an HTML page, as servers send it instead of a file",
    "<?xml": "an XML file",
    "{": "text (JSON), as servers send it instead of a file",
}


def has_image_suffix(name: str) -> bool:
    """Whether a file is meant to be an image, by the suffix of its name, in any case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def name_content(head: bytes) -> tuple[str, bool] | None:
    """Say what a file holds, by its first bytes.

    Args:
        head: The first `SNIFFED_BYTES` of a file, or all of a shorter one.

    Returns:
        A noun phrase (`a JPEG image`), and whether it is an image that is decoded; None where nothing is recognised.
    """
    for beginnings, is_taken in ((_TAKEN, True), (_FOREIGN, False)):
        for beginning, kind in beginnings.items():
            if head.startswith(beginning):
                return kind, is_taken
    if found := _riff(head) or _iso_media(head) or _late_marks(head):
        return found
    text = _as_text(head)
    return None if text is None else (text, False)


def _riff(head: bytes) -> tuple[str, bool] | None:
    if head[:4] != b"RIFF":
        return None
    return ("a WebP image", True) if head[8:12] == b"WEBP" else ("a sound or video", False)


def _iso_media(head: bytes) -> tuple[str, bool] | None:
    """HEIF, AVIF and videos share a container (ISO/IEC 14496-12): the brands in its first box tell them apart."""
    if head[4:8] != b"ftyp":
        return None
    end = min(max(int.from_bytes(head[:4], "big"), 16), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "an AVIF image", True
    if brands & {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}:
        return "a HEIF image", True
    return ("a raw photograph" if head[8:12] == b"crx " else "a video"), False


def _late_marks(head: bytes) -> tuple[str, bool] | None:
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "a BMP image", True
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "a PNM image", True
    if head[128:132] == b"DICM":
        return "a DICOM file", False
    if head[257:262] == b"ustar":
        return "a TAR archive", False
    if head and not head.strip(b"\0"):
        return "zeros only, as a broken download or disk leaves them", False
    return None


def _as_text(head: bytes) -> str | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) - error.start > 3:  # not merely a letter cut in two
            return None
        text = head[: error.start].decode("utf-8-sig")
    if not text or any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text):
        return None
    start = text.lstrip().lower()
    if start.startswith("<?xml") and "<svg" in start:
        return "an SVG drawing"
    if "/annex/objects/" in start:
        return "a git-annex pointer: fetch the file itself (git annex get)"
    return next((kind for beginning, kind in _TEXT_BEGINNINGS.items() if start.startswith(beginning)), "text")
