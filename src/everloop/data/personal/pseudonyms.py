"""Other values of the same form, by a key: digits for digits, letters for letters, the rest as it stands.

A value is a number in the mixed radix of its form; a Feistel network of ten rounds of keyed BLAKE3 permutes these numbers and is
walked until it ends inside them, in the manner of FF1 (NIST SP 800-38G), which it is not. So two values of one form never get one
pseudonym. This is pseudonymisation, no encryption that was reviewed: who holds the key can find a value by trying. Forms with
fewer than a million values, the least that FF1 allows, would give values away and become constant instead. Tests:
tests/property/test_masking.py.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from blake3 import blake3

from everloop.data.personal import patterns, validators

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LEAST_VALUES = 1_000_000
_ROUNDS = 10
_DIGITS, _LOWER, _UPPER = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST = "123456789"
_CONSTANTS = {_DIGITS: "0", _LOWER: "x", _UPPER: "X", _FIRST: "1"}
_CARD = re.compile(r"\d(?:[ -]?\d){11,18}")
_SPACES = re.compile(r"[ .\-/]")


class _Form(NamedTuple):
    """A value as digits in the alphabets of its places; places without an alphabet stand as they are."""

    characters: list[str]
    places: list[int]
    alphabets: list[str]
    tweak: str

    @property
    def size(self) -> int:
        return math.prod(map(len, self.alphabets))


def hash_value(value: bytes, key: bytes) -> str:
    """Return 32 hexadecimal characters for a value; equal values have equal ones under one key."""
    return blake3(value, key=key).hexdigest(length=16)


def keep_format(text: str, key: bytes) -> str:
    """Return another text of the same form and length.

    A card that passes Luhn becomes one that does, and no other digits do; an IBAN keeps its country and gets check digits; an e-mail
    keeps its last label, `.org`. Letters beyond a to z become some of a to z.
    """
    if not text:
        return text
    if _CARD.fullmatch(text):
        return _card(text, key)
    if validators.is_iban(text) and text.isascii():
        return _iban(text, key)
    fixed = len(text)
    if patterns.is_email(text):
        fixed = text.rindex(".")
    return _other(_form(text, range(fixed)), key)


def keep_number(number: int, key: bytes, *, largest: int) -> int:
    """Return another whole number of as many digits and of the same sign, `largest` at most."""
    text = str(min(abs(number), largest))
    form = _form(text, range(len(text)))
    alphabets = [_FIRST if len(text) > 1 else _DIGITS, *form.alphabets[1:]]
    form = form._replace(alphabets=alphabets, tweak="number:" + form.tweak)
    return int(_other(form, key, accepts=lambda found: int(found) <= largest)) * (-1 if number < 0 else 1)


def permute(number: int, size: int, *, key: bytes, tweak: str) -> int:
    """Return the number below `size` that stands in the place of another; each stands in the place of one."""
    a = math.isqrt(size - 1) + 1
    b = -(-size // a)
    inner = _tweaked(key, tweak)
    while True:
        left, right = divmod(number, b)
        for turn in range(_ROUNDS):
            if turn % 2 == 0:
                left = (left + _noise(turn, right, b, inner)) % a
            else:
                right = (right + _noise(turn, left, a, inner)) % b
        number = left * b + right
        if number < size:
            return number


@lru_cache(maxsize=4096)
def _tweaked(key: bytes, tweak: str) -> bytes:
    return blake3(b"tweak " + tweak.encode(), key=key).digest()


def _noise(turn: int, number: int, below: int, key: bytes) -> int:
    length = (below.bit_length() + 7) // 8
    content = bytes([turn]) + number.to_bytes(length, "big")
    return int.from_bytes(blake3(content, key=key).digest(length=length + 16), "big")


def _form(text: str, places: Sequence[int]) -> _Form:
    found = [(at, *_alphabet(text[at])) for at in places if text[at].isalnum() and _alphabet(text[at])[0]]
    characters = list(text)
    foreign = "".join(f"{at}{text[at]}" for at, _, _ in found if not text[at].isascii())
    pattern = list(text)
    for at, alphabet, plain in found:
        characters[at] = plain
        pattern[at] = f"<{_CONSTANTS[alphabet]}>"
    return _Form(
        characters,
        [at for at, _, _ in found],
        [one for _, one, _ in found],
        "".join(pattern) + "\0" + foreign,
    )


def _alphabet(character: str) -> tuple[str, str]:
    """Return the alphabet of a character and the character of it that stands for this one; none for what is kept."""
    if character.isdecimal():
        return _DIGITS, str(int(character))
    if not (character.isalpha() or character.isnumeric()):
        return "", character
    base = unicodedata.normalize("NFKD", character)[0]
    alphabet = _UPPER if character.isupper() else _LOWER
    base = base.upper() if character.isupper() else base.lower()
    return alphabet, base if base in alphabet else alphabet[ord(character) % 26]


def _other(form: _Form, key: bytes, *, accepts: Callable[[str], bool] = lambda _: True) -> str:
    """Return the text whose number stands in the place of the form's; never the same text."""
    if form.size < _LEAST_VALUES:
        return _constant(form)
    before = "".join(form.characters)
    tweak, found = form.tweak, before
    while found == before:
        number = _encode(form)
        while True:
            number = permute(number, form.size, key=key, tweak=tweak)
            found = _decode(form, number)
            if accepts(found):
                break
        tweak += "\0again"
    return found


def _constant(form: _Form) -> str:
    characters = list(form.characters)
    for at, alphabet in zip(form.places, form.alphabets, strict=True):
        characters[at] = _CONSTANTS[alphabet]
    return "".join(characters)


def _encode(form: _Form) -> int:
    number = 0
    for at, alphabet in zip(form.places, form.alphabets, strict=True):
        number = number * len(alphabet) + alphabet.index(form.characters[at])
    return number


def _decode(form: _Form, number: int) -> str:
    characters = list(form.characters)
    for at, alphabet in zip(reversed(form.places), reversed(form.alphabets), strict=True):
        number, index = divmod(number, len(alphabet))
        characters[at] = alphabet[index]
    return "".join(characters)


def _card(text: str, key: bytes) -> str:
    """Return digits that pass Luhn for digits that do, and others for others."""
    places = [at for at, one in enumerate(text) if one.isdecimal()]
    if not validators.passes_luhn(_digits(text)):
        return _other(
            _form(text, places), key, accepts=lambda found: not validators.passes_luhn(_digits(found))
        )
    form = _form(text[: places[-1]] + "0", places[:-1])
    found = _other(form._replace(tweak="card:" + form.tweak), key)
    return found[: places[-1]] + validators.luhn_digit(_digits(found)[:-1])


def _iban(text: str, key: bytes) -> str:
    places = [at for at, one in enumerate(text) if not _SPACES.match(one)]
    form = _form(text, places[4:])
    for at in places[2:4]:
        form.characters[at] = "0"
    form = form._replace(
        tweak="iban:" + "".join(form.characters[:2]) + "".join(map(str, map(len, form.alphabets)))
    )
    found = list(_other(form, key))
    plain = validators.bare("".join(found))
    for at, digit in zip(places[2:4], validators.iban_digits(plain[:2], plain[4:]), strict=True):
        found[at] = digit
    return "".join(found)


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdecimal())
