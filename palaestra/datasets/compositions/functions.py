"""The 25 string functions of RL-Compositionality (arXiv 2509.25123), known to a policy as func_0 to func_24.

They differ from the published ones in three places, so that each does something of its own: words are parted
by a hyphen, not a space; func_23 appends the digits 1 to its depth, not always 1; func_24 has no depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count, groupby, product, zip_longest
from math import gcd
from typing import NamedTuple

LETTERS = "abcdef"
"""Of inputs and of affixes."""
WORDS = "-"
"""What parts the words of an input."""
_VOWELS = "aeiou"


class StringFunction(NamedTuple):
    apply: Callable[..., str]
    """Called with the text, and with the argument where there is one."""
    arguments: Sequence[int | str] = ()
    """Those that a call may have."""


def shuffle(text: str) -> str:
    """Every m-th character, around and around; m is the least of 3, 5, 7, … coprime with the length."""
    size = max(1, len(text))
    stride = next(m for m in count(3, 2) if gcd(m, size) == 1)
    return "".join(text[place * stride % size] for place in range(len(text)))


def repeat(text: str, times: int) -> str:
    """The text so many times over."""
    return text * times


def remove_vowels(text: str) -> str:
    """The text without a, e, i, o, u."""
    return "".join(letter for letter in text if letter not in _VOWELS)


def sort_characters(text: str) -> str:
    """The characters in the order of their codes."""
    return "".join(sorted(text))


def reverse_words(text: str) -> str:
    """The words, which hyphens part, in reverse order."""
    return WORDS.join(reversed(text.split(WORDS)))


def add_prefix(text: str, prefix: str) -> str:
    """The prefix, then the text."""
    return prefix + text


def add_suffix(text: str, suffix: str) -> str:
    """The text, then the suffix."""
    return text + suffix


def interlace(text: str, other: str) -> str:
    """Characters of text and other in turn; what is left of the longer one follows."""
    return "".join(one + two for one, two in zip_longest(text, other, fillvalue=""))


def rotate(text: str, places: int) -> str:
    """So many characters go from the beginning to the end."""
    places %= max(1, len(text))
    return text[places:] + text[:places]


def mirror(text: str) -> str:
    """The text, then the text backwards."""
    return text + text[::-1]


def alternate_case(text: str) -> str:
    """Small and capital letters in turn."""
    return "".join(letter.upper() if place % 2 else letter.lower() for place, letter in enumerate(text))


def shift_letters(text: str, places: int) -> str:
    """Each letter moves so many places on in the alphabet, after z to a; capitals likewise."""

    def shifted(letter: str) -> str:
        if not (letter.isascii() and letter.isalpha()):
            return letter
        first = ord("a") if letter.islower() else ord("A")
        return chr(first + (ord(letter) - first + places) % 26)

    return "".join(map(shifted, text))


def number_vowels(text: str) -> str:
    """a, e, i, o, u become 1, 2, 3, 4, 5."""
    return text.translate(str.maketrans(_VOWELS, "12345"))


def separate(text: str, separator: str) -> str:
    """The separator between every two characters."""
    return separator.join(text)


def double_characters(text: str) -> str:
    """Each character twice."""
    return "".join(letter * 2 for letter in text)


def wrap_characters(text: str) -> str:
    """Each character between « and »."""
    return "".join(f"«{letter}»" for letter in text)


def drop_repeats(text: str) -> str:
    """Of equal characters in a row only one."""
    return "".join(letter for letter, _ in groupby(text))


def reverse(text: str) -> str:
    """The text backwards."""
    return reverse(text[1:]) + text[0] if text else ""


def repeat_in_loop(text: str, times: int) -> str:
    """The text so many times over."""
    result = ""
    for _ in range(times):
        result += text
    return result


def rotate_in_loop(text: str, places: int) -> str:
    """So many characters go from the beginning to the end."""
    while places > 0:
        text, places = text[1:] + text[:1], places - 1
    return text


def interlace_recursively(text: str, other: str) -> str:
    """Characters of text and other in turn; what is left of the longer one follows."""
    if not text or not other:
        return text + other
    return text[0] + other[0] + interlace_recursively(text[1:], other[1:])


def drop_non_letters(text: str) -> str:
    """The letters alone."""
    return "".join(filter(str.isalpha, text))


def even_out(text: str) -> str:
    """Without the last character if their number is odd."""
    return text[:-1] if len(text) % 2 else text


def count_up(text: str, depth: int) -> str:
    """The text, then the digits from 1 to depth."""
    return text if depth == 0 else count_up(text, depth - 1) + str(depth)


def make_palindrome(text: str) -> str:
    """The text, then the text backwards, unless it already reads the same both ways."""
    return text if text == text[::-1] else text + text[::-1]


_AFFIXES = tuple(map("".join, product(LETTERS, repeat=2)))
_TIMES, _PLACES, _SHIFTS, _DEPTHS, _SEPARATORS = (2, 3, 4), (1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3), "-_|"

FUNCTIONS: Sequence[StringFunction] = (
    StringFunction(shuffle),
    StringFunction(repeat, _TIMES),
    StringFunction(remove_vowels),
    StringFunction(sort_characters),
    StringFunction(reverse_words),
    StringFunction(add_prefix, _AFFIXES),
    StringFunction(add_suffix, _AFFIXES),
    StringFunction(interlace, _AFFIXES),
    StringFunction(rotate, _PLACES),
    StringFunction(mirror),
    StringFunction(alternate_case),
    StringFunction(shift_letters, _SHIFTS),
    StringFunction(number_vowels),
    StringFunction(separate, _SEPARATORS),
    StringFunction(double_characters),
    StringFunction(wrap_characters),
    StringFunction(drop_repeats),
    StringFunction(reverse),
    StringFunction(repeat_in_loop, _TIMES),
    StringFunction(rotate_in_loop, _PLACES),
    StringFunction(interlace_recursively, _AFFIXES),
    StringFunction(drop_non_letters),
    StringFunction(even_out),
    StringFunction(count_up, _DEPTHS),
    StringFunction(make_palindrome),
)
"""func_0 to func_24."""

TRAINED = frozenset({1, 3, 4, 5, 9, 11, 13, 15, 17, 18, 22, 23, 24})
"""Functions that training composes; the others are composed in held-out tasks alone.

The published split parts functions that do the same (repeat and its loop, rotate and its loop, interlace and
its recursion, mirror and palindrome); here each stands with its twin, so a held-out function is unseen."""
