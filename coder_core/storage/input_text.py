"""Text that a user gave: UTF-8, with or without a byte-order mark; any other encoding is named in one line.

Nothing is guessed: read as Windows-1252, a Polish or Greek file would come out as other names without a word.
"""

import codecs

from coder_core.errors import InputError

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_REMEDY = "Save it as UTF-8."


def decode_text(content: bytes, place: str, error_class: type[InputError] = InputError) -> str:
    """Decode UTF-8 and take a byte-order mark away.

    Args:
        content: The whole file.
        place: Its name, for the message.
        error_class: What to raise.

    Raises:
        InputError: As `error_class`: it is UTF-16 or UTF-32, it holds NUL bytes, or it is not UTF-8 (the line is
            named).
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if encoding is None and content[:2].count(b"\0") == 1 and len(content) % 2 == 0:
        encoding = "UTF-16 without a byte-order mark"
    if encoding:
        raise error_class(f"this is not UTF-8 text but {encoding}.", place, _REMEDY)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"this is not UTF-8 text (line {line}, byte {content[error.start]:#04x}; perhaps Windows-1252)."
        raise error_class(problem, place, _REMEDY) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error_class(f"line {line} holds a NUL byte: this is no text.", place, _REMEDY)
    return text
