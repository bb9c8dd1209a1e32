"""Check digits and forms of numbers that name people, accounts and cards; each takes the text of one value.

Every function is pure and returns whether the value is of its kind, check digit included. Tests:
tests/unit/data/personal/test_validators.py.
"""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from datetime import date

# Length of an IBAN by country: SWIFT, IBAN Registry, release 99 (2024).
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18,
    "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31,
    "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29,
    "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
# First digits and lengths of cards, from the networks' published ranges: Visa, Mastercard, Amex, Discover, Diners, JCB, UnionPay,
# Mir, Maestro.
_CARDS = (
    ((4, 4), (13, 16, 19)),
    ((51, 55), (16,)),
    ((2221, 2720), (16,)),
    ((34, 34), (15,)),
    ((37, 37), (15,)),
    ((6011, 6011), (16, 17, 18, 19)),
    ((644, 649), (16, 17, 18, 19)),
    ((65, 65), (16, 17, 18, 19)),
    ((300, 305), (14, 15, 16, 17, 18, 19)),
    ((36, 36), (14, 15, 16, 17, 18, 19)),
    ((38, 39), (14, 15, 16, 17, 18, 19)),
    ((3528, 3589), (16, 17, 18, 19)),
    ((62, 62), (16, 17, 18, 19)),
    ((2200, 2204), (16, 17, 18, 19)),
    ((5018, 5018), (12, 13, 14, 15, 16, 17, 18, 19)),
    ((5020, 5020), (12, 13, 14, 15, 16, 17, 18, 19)),
    ((5038, 5038), (12, 13, 14, 15, 16, 17, 18, 19)),
    ((5893, 5893), (12, 13, 14, 15, 16, 17, 18, 19)),
    ((6304, 6304), (12, 13, 14, 15, 16, 17, 18, 19)),
    ((6759, 6763), (12, 13, 14, 15, 16, 17, 18, 19)),
)
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_CODICE_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_OMOCODIA = str.maketrans("LMNPQRSTUV", "0123456789")
_PESEL_WEIGHTS = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
_CENTURIES = {0: 1900, 20: 2000, 40: 2100, 60: 2200, 80: 1800}
_SSN = re.compile(r"(?!000|666|9)\d{3}[- ]?(?!00)\d{2}[- ]?(?!0000)\d{4}")
_NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")
_NIR = re.compile(r"[123478]\d\d(?:0[1-9]|1[0-2]|[2-3]\d|4[0-2]|[5-9]\d)(?:\d\d|2[AB])\d{8}")
_CODICE = re.compile(r"[A-Z]{6}[\dLMNPQRSTUV]{2}[ABCDEHLMPRST][\dLMNPQRSTUV]{2}[A-Z][\dLMNPQRSTUV]{3}[A-Z]")
_SEPARATORS = re.compile(r"[ .\-/]")


def bare(text: str) -> str:
    """Return a value without the separators people write, in capitals."""
    return _SEPARATORS.sub("", text.strip()).upper()


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1)."""
    return luhn_digit(digits[:-1]) == digits[-1]


def luhn_digit(digits: str) -> str:
    """Return the Luhn check digit that comes after digits."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the sum of the two digits of 10 to 18
    return str(-total % 10)


def is_card(text: str) -> bool:
    """Return whether a value is a payment card: a network's range and length, and Luhn."""
    digits = bare(text)
    return is_issued(digits) and passes_luhn(digits)


def is_issued(digits: str) -> bool:
    """Return whether digits have the first digits and the length of a card network."""
    return digits.isascii() and digits.isdecimal() and any(_is_in(digits, *card) for card in _CARDS)


def _is_in(digits: str, span: tuple[int, int], lengths: tuple[int, ...]) -> bool:
    return len(digits) in lengths and span[0] <= int(digits[: len(str(span[0]))]) <= span[1]


def is_iban(text: str) -> bool:
    """Return whether a value is an IBAN: the length of its country, and 1 modulo 97 (ISO 13616)."""
    account = bare(text)
    if len(account) != IBAN_LENGTHS.get(account[:2]) or not (account.isascii() and account.isalnum()):
        return False
    return account[2:4].isdecimal() and int(_as_number(account[4:] + account[:4])) % 97 == 1


def iban_digits(country: str, account: str) -> str:
    """Return the two check digits of an account in a country."""
    return f"{98 - int(_as_number(account + country + '00')) % 97:02}"


def _as_number(text: str) -> str:
    return "".join(str(int(one, 36)) for one in text)


def is_us_ssn(text: str) -> bool:
    """Return whether a value is a US social security number; it has no check digit, only numbers never given."""
    return _SSN.fullmatch(text.strip()) is not None


def is_uk_nino(text: str) -> bool:
    """Return whether a value is a UK national insurance number; it has no check digit."""
    return _NINO.fullmatch(bare(text)) is not None


def is_de_steuer_id(text: str) -> bool:
    """Return whether a value is a German tax id: one digit comes two or three times, and ISO 7064 MOD 11,10."""
    digits = bare(text)
    if not _are_digits(digits, 11) or digits[0] == "0":
        return False
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if counts not in ([1] * 8 + [2], [1] * 7 + [3]):
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_fr_nir(text: str) -> bool:
    """Return whether a value is a French social security number with its key modulo 97."""
    number = bare(text)
    if not _NIR.fullmatch(number):
        return False
    digits = number[:13]
    if "A" in digits or "B" in digits:
        digits = digits.replace("2A", "19").replace("2B", "18")
    return digits.isdecimal() and 97 - int(digits) % 97 == int(number[13:])


def is_es_dni(text: str) -> bool:
    """Return whether a value is a Spanish DNI or NIE: the letter is the number modulo 23."""
    number = bare(text)
    if len(number) != 9 or not number.isascii() or number[0] not in "0123456789XYZ":  # noqa: PLR2004
        return False
    digits = number[:8].translate(str.maketrans("XYZ", "012"))
    return digits.isdecimal() and number[8] == _DNI_LETTERS[int(digits) % 23]


def is_it_codice_fiscale(text: str) -> bool:
    """Return whether a value is an Italian tax code with its control letter (D.M. 23/12/1976)."""
    code = bare(text)
    if not _CODICE.fullmatch(code):
        return False
    day = int(code[9:11].translate(_OMOCODIA))
    if not (1 <= day <= 31 or 41 <= day <= 71):  # noqa: PLR2004 - women's days are 40 more
        return False
    values = [int(one, 36) - (0 if one.isdecimal() else 10) for one in code[:15]]
    total = sum(_CODICE_ODD[one] if place % 2 == 0 else one for place, one in enumerate(values))
    return code[15] == chr(ord("A") + total % 26)


def is_nl_bsn(text: str) -> bool:
    """Return whether a value is a Dutch citizen number: the eleven test."""
    digits = bare(text)
    if not _are_digits(digits, 9) or int(digits) == 0:
        return False
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11 == 0


def is_pl_pesel(text: str) -> bool:
    """Return whether a value is a Polish PESEL: a date, whose month tells the century, and a check digit."""
    digits = bare(text)
    if not _are_digits(digits, 11):
        return False
    month = int(digits[2:4])
    century = _CENTURIES[month // 20 * 20]
    total = sum(int(digit) * weight for digit, weight in zip(digits, _PESEL_WEIGHTS, strict=False))
    return _is_date(century + int(digits[:2]), month % 20, int(digits[4:6])) and -total % 10 == int(
        digits[10]
    )


def is_se_personnummer(text: str) -> bool:
    """Return whether a value is a Swedish personal number: a date and Luhn over the last ten digits; days + 60 are coordinated."""
    digits = bare(text).replace("+", "")
    if not (_are_digits(digits, 10) or (_are_digits(digits, 12) and digits[:2] in ("18", "19", "20"))):
        return False
    year = int(digits[:-8]) if len(digits) == 12 else 2000 + int(digits[:2])  # noqa: PLR2004
    day = int(digits[-6:-4])
    is_date = _is_date(year, int(digits[-8:-6]), day - 60 if day > 60 else day)  # noqa: PLR2004
    return is_date and passes_luhn(digits[-10:])


def is_ip_address(text: str) -> bool:
    """Return whether a value is an IP address of some machine; 127.0.0.1 and 0.0.0.0 are of none."""
    with suppress(ValueError):
        found = ipaddress.ip_address(text.strip())
        return not (found.is_loopback or found.is_unspecified)
    return False


def _are_digits(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdecimal()


def _is_date(year: int, month: int, day: int) -> bool:
    with suppress(ValueError):
        date(year, month, day)
        return True
    return False
