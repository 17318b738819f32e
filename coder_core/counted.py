"""A number and what it counts, in words: "1 image", "2 images"."""


def counted(number: int, one: str, many: str | None = None, *, form: str = "") -> str:
    """Write a number with its noun, and whatever goes with both: `counted(n, "image is", "images are")`.

    Args:
        number: How many.
        one: The words for one.
        many: The words for any other number; default: the plural of `one`'s last word.
        form: How the number is written, as in an f-string: `,` with commas between thousands.
    """
    words = one if number == 1 else many or _plural(one)
    return f"{number:{form}} {words}"


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
