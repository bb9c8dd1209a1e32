"""What values of each kind look like, what columns that hold them are called, and how likely chance passes the test.

A kind that rests on a check digit is believed only when more values pass than chance would let through: one random number in
ten passes Luhn. Tests: tests/unit/data/personal/test_patterns.py.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from everloop.data.personal import validators

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.data.personal.records import PersonalKind

# RFC 5321 addresses as people have them; quoted local parts and addresses of hosts without a domain are left out.
EMAIL = re.compile(
    r"[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
)
_IBAN_WITHIN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
# E.164 with the separators people write.
_INTERNATIONAL = re.compile(r"(?:\+|00(?=[1-9]\d{0,2}[ (./-]))[1-9][\d ()./-]{6,22}\d")
_NATIONAL = re.compile(
    r"(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}"  # North America
    r"|0[1-9](?:[ .-]\d{2}){4}"  # France
    r"|\(?0\d{1,5}\)?[ /-]{1,3}\d{2,8}(?:[ -]\d{2,8}){0,4}"  # zero, area, number
)
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}(?:[ T].*)?")
_FORMED = {
    "card": re.compile(r"\d(?:[ -]?\d){11,18}"),
    "iban": re.compile(r"[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}"),
    "us-ssn": re.compile(r"\d{3}-\d{2}-\d{4}"),
    "uk-nino": re.compile(r"[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-Da-d]"),
    "de-steuer-id": re.compile(r"\d{2}(?: ?\d{3}){3}"),
    "fr-nir": re.compile(r"\d(?: ?\d\d){2} ?(?:\d\d|2[ABab])(?: ?\d{3}){2} ?\d\d"),
    "es-dni": re.compile(r"[XYZxyz\d][-.]?\d[\d.]{6,8}-?[A-Za-z]"),
    "it-codice-fiscale": re.compile(
        r"[A-Za-z]{6}[A-Za-z0-9]{2}[A-Za-z][A-Za-z0-9]{2}[A-Za-z][A-Za-z0-9]{3}[A-Za-z]"
    ),
    "nl-bsn": re.compile(r"\d{4}\.?\d{2}\.?\d{3}"),
    "pl-pesel": re.compile(r"\d{11}"),
    "se-personnummer": re.compile(r"(?:18|19|20)?\d{6}[-+]?\d{4}"),
    "ip-address": re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"),
}


class Kind(NamedTuple):
    """How values of one kind are known.

    Attributes:
        has_form: whether a value looks like one; passes: whether it is one.
        by_chance: how often a value of the form passes that is none; 0 for a form that nothing else has.
        least: the share of the column's different values that must pass, without help of the name.
        digits: the length that numbers are filled up to with zeros, for columns of integers; 0 where these are none.
        names: words that columns of the kind are called by; of a kind by form alone they are no condition.
        not_named: words that say the column is something else.
        is_weak: of so common a form that the name must say so, too.
    """

    name: PersonalKind
    has_form: Callable[[str], bool]
    passes: Callable[[str], bool]
    by_chance: float = 0.0
    least: float = 0.8
    digits: int = 0
    names: tuple[str, ...] = ()
    not_named: tuple[str, ...] = ()
    is_weak: bool = False


def _form(kind: str) -> Callable[[str], bool]:
    return lambda text: _FORMED[kind].fullmatch(text) is not None


def is_email(text: str) -> bool:
    """Return whether a value is an e-mail address and nothing else."""
    return EMAIL.fullmatch(text) is not None


def is_phone(text: str) -> bool:
    """Return whether a value is a telephone number as people write it: with + and the country, or with separators."""
    if _DATE.fullmatch(text):
        return False
    digits = sum(one.isdecimal() for one in text)
    if _INTERNATIONAL.fullmatch(text):
        return 8 <= digits <= 15  # noqa: PLR2004 - E.164 has at most 15
    return 9 <= digits <= 12 and _NATIONAL.fullmatch(text) is not None  # noqa: PLR2004


def _is_bare_phone(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 9 <= len(text) <= 15  # noqa: PLR2004


_PHONE_NAMES = (
    "phone", "telephone", "mobile", "cell", "fax", "tel", "telefon", "telefonnummer", "handy", "mobil", "telefoon", "telefono",
    "movil", "cellulare", "portable", "telefone", "celular", "telefonu", "komorka", "msisdn", "whatsapp",
)  # fmt: skip

# In the order in which a column of numbers is given one kind; the stronger test comes first.
KINDS = (
    Kind("email", is_email, is_email, least=0.0, names=("email", "mail", "correo", "courriel", "epost")),
    Kind("iban", _form("iban"), validators.is_iban, 1 / 97, names=("iban", "bank account", "bankverbindung", "rib")),
    Kind("it-codice-fiscale", _form("it-codice-fiscale"), validators.is_it_codice_fiscale, 1 / 26,
         names=("codice fiscale", "cf", "taxcode")),
    Kind("fr-nir", _form("fr-nir"), validators.is_fr_nir, 1 / 97, digits=15,
         names=("nir", "insee", "numero securite sociale", "securite sociale", "num secu")),
    Kind("es-dni", _form("es-dni"), validators.is_es_dni, 1 / 23, names=("dni", "nie", "nif")),
    Kind("card", _form("card"), validators.is_card, 0.1, digits=12,
         names=("card", "card number", "credit card", "pan", "kreditkarte", "kartennummer", "carte", "tarjeta", "carta")),
    Kind("de-steuer-id", _form("de-steuer-id"), validators.is_de_steuer_id, 0.01, digits=11,
         names=("steuer", "steuerid", "steuernummer", "steueridentifikationsnummer", "idnr", "tin", "tax")),
    Kind("pl-pesel", _form("pl-pesel"), validators.is_pl_pesel, 0.1, digits=11, names=("pesel",)),
    Kind("se-personnummer", _form("se-personnummer"), validators.is_se_personnummer, 0.1, digits=10,
         names=("personnummer", "pnr", "personal number")),
    Kind("nl-bsn", _form("nl-bsn"), validators.is_nl_bsn, 1 / 11, digits=9,
         names=("bsn", "burgerservicenummer", "sofi", "sofinummer")),
    Kind("us-ssn", _form("us-ssn"), validators.is_us_ssn, names=("ssn", "social security")),
    Kind("us-ssn", lambda text: _is_number_of(text, 9), validators.is_us_ssn, digits=9, names=("ssn", "social security"),
         is_weak=True),
    Kind("uk-nino", _form("uk-nino"), validators.is_uk_nino, names=("nino", "national insurance", "ni number")),
    Kind("ip-address", _form("ip-address"), validators.is_ip_address, names=("ip", "ipaddress", "remote addr"),
         not_named=("version", "release", "oid", "section")),
    Kind("phone", is_phone, is_phone, least=0.5, names=_PHONE_NAMES),
    Kind("phone", _is_bare_phone, _is_bare_phone, least=0.5, digits=9, names=_PHONE_NAMES, is_weak=True),
)  # fmt: skip


class NamedKind(NamedTuple):
    """A kind that only the column's name tells, as long as the values do not speak against it."""

    name: PersonalKind
    names: tuple[str, ...]
    not_named: tuple[str, ...]
    fits: Callable[[str], bool]


def _is_words(text: str) -> bool:
    return 1 < len(text) <= 120 and sum(one.isalpha() for one in text) > len(text) / 2  # noqa: PLR2004


def _is_address(text: str) -> bool:
    return len(text) > 3 and any(one.isalpha() for one in text) and "@" not in text and "://" not in text  # noqa: PLR2004


def _is_postcode(text: str) -> bool:
    return 3 <= len(text) <= 10 and any(one.isdecimal() for one in text) and "." not in text  # noqa: PLR2004


def _is_birth_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None or (
        text.isdecimal() and (len(text) == 8 or (len(text) == 4 and "1880" <= text <= "2100"))  # noqa: PLR2004
    )


NAMED_KINDS = (
    NamedKind(
        "birth-date",
        ("birth", "birthday", "birthdate", "dob", "born", "geburt", "geburtsdatum", "geburtstag", "geboren", "naissance",
         "date naissance", "ne le", "nacimiento", "fecha nac", "nascita", "nascimento", "geboortedatum", "geboorte", "urodzenia",
         "data ur", "fodelsedatum", "fodelsedag", "foedselsdato", "fodselsdato"),
        ("weight", "place", "rate", "order", "city", "country", "ort", "lieu", "lugar", "luogo", "plaats", "miejsce"),
        _is_birth_date,
    ),
    NamedKind(
        "person-name",
        ("first name", "firstname", "last name", "lastname", "surname", "middle name", "given name", "family name", "full name",
         "fullname", "maiden name", "forename", "customer name", "client name", "patient name", "employee name", "contact name",
         "person name", "passenger name", "cardholder", "account holder", "vorname", "nachname", "familienname", "zuname",
         "geburtsname", "kundenname", "prenom", "nom famille", "nom complet", "nom client", "apellido", "apellidos",
         "primer nombre", "nombre completo", "nombre cliente", "cognome", "nome completo", "nome cognome", "voornaam",
         "achternaam", "tussenvoegsel", "imie", "nazwisko", "fornamn", "efternamn", "fornavn", "etternavn", "efternavn",
         "sobrenome", "apelido", "etunimi", "sukunimi", "jmeno", "prijmeni"),
        ("file", "host", "user agent", "product"),
        _is_words,
    ),
    NamedKind(
        "address",
        ("address", "street", "street address", "addr", "adresse", "anschrift", "strasse", "hausnummer", "rue", "calle",
         "direccion", "domicilio", "indirizzo", "adres", "straat", "straatnaam", "ulica", "adress", "gatuadress", "gata",
         "endereco", "rua", "morada", "osoite"),
        ("ip", "mac", "email", "mail", "web", "website", "site", "url", "memory", "remote", "type", "id"),
        _is_address,
    ),
    NamedKind(
        "postcode",
        ("zip", "zipcode", "zip code", "postcode", "post code", "postal code", "postalcode", "plz", "postleitzahl", "code postal",
         "codigo postal", "cod postal", "codice postale", "cap residenza", "kod pocztowy", "postnummer", "postnr", "cep"),
        ("file", "path", "format"),
        _is_postcode,
    ),
)  # fmt: skip


def _is_number_of(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdecimal()


def find_within(text: str) -> dict[PersonalKind, bool]:
    """Return the kinds found inside a longer text, and whether a checksum says so."""
    found: dict[PersonalKind, bool] = {}
    if "@" in text and EMAIL.search(text):
        found["email"] = False
    if any(validators.is_iban(match[0]) for match in _IBAN_WITHIN.finditer(text)):
        found["iban"] = True
    return found


def words_of(column: str) -> list[str]:
    """Return the words of a column's name, without accents, in small letters: `dateNaissance_2` is date, naissance, 2."""
    spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column)
    plain = unicodedata.normalize("NFKD", spread.replace("ß", "ss").replace("ł", "l").replace("ø", "o"))
    letters = "".join(one for one in plain if not unicodedata.combining(one)).lower()
    return [word for word in re.split(r"[^a-z0-9]+", letters) if word and word not in _SMALL_WORDS]


_SMALL_WORDS = frozenset(
    {"de", "du", "di", "da", "do", "del", "della", "la", "le", "of", "the", "des", "d", "en", "van"}
)


def is_called(words: list[str], names: tuple[str, ...], not_named: tuple[str, ...] = ()) -> bool:
    """Return whether one of the names stands in a column's words, and none of the others does."""
    text = f" {' '.join(words)} "
    joined = "".join(words)
    if any(f" {name} " in text for name in not_named):
        return False
    return any(f" {name} " in text or (" " in name and name.replace(" ", "") == joined) for name in names)
