"""Damage for fuzzers: flipped, extreme, missing, foreign, repeated and cut bytes, from a seeded generator."""

import random

EXTREMES = (b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\1\0\0")


def _flip(content: bytearray, at: int, draw: random.Random) -> None:
    content[at] ^= 1 << draw.randrange(8)


def _set(content: bytearray, at: int, draw: random.Random) -> None:
    content[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))


def _set_number(content: bytearray, at: int, draw: random.Random) -> None:
    content[at : at + 4] = draw.choice(EXTREMES)


def _remove(content: bytearray, at: int, draw: random.Random) -> None:
    del content[at : at + draw.randrange(1, 20)]


def _insert(content: bytearray, at: int, draw: random.Random) -> None:
    content[at:at] = draw.randbytes(draw.randrange(1, 9))


def _cut(content: bytearray, at: int, _draw: random.Random) -> None:
    del content[max(at, 1) :]


def _repeat(content: bytearray, at: int, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    content[at:at] = content[start : start + draw.randrange(1, 40)]


WAYS = (_flip, _set, _set_number, _remove, _insert, _cut, _repeat)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Damage a file in one to eight places, more often near its beginning, where headers are."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        at = draw.randrange(min(len(found), 64) if draw.random() < 0.4 else len(found))
        draw.choice(WAYS)(found, at, draw)
        found = found or bytearray(1)
    return bytes(found)
