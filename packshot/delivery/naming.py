"""Names of delivered files: templates with a closed set of fields, and the check digits of GTINs.

    "{sku}-{scene}-{n:02}.{ext}"  ──parse_template──>  NameTemplate  ──render(values)──>  "B01-marble-03.jpg"

A template is not a Python format string. A name is one file name and never a path: a separator, `..` or a name that a
file system reserves is refused. Nothing is replaced in silence. Pure: this module reads no file and no database.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packshot.errors import BadInput

__all__ = ["FIELDS", "NameTemplate", "check_asin", "check_gtin", "check_name", "collision_key", "parse_template"]

FIELDS: Mapping[str, str] = {
    "sku": "The item's SKU.",
    "scene": "The scene's name; `white` or `transparent` for a plain shot.",
    "view": "The photo's view: front, back, side or detail.",
    "n": "The file's number among those of its SKU and channel, from 1. `{n:02}` pads it to two digits.",
    "variant": "The name of the variant.",
    "gtin": "The item's GTIN, check digit tested. `{gtin:14}` pads it with zeros to 14 digits.",
    "asin": "The item's ASIN.",
    "slot": "The channel's picture slot: MAIN, PT01 to PT99, SWCH.",
    "preset": "The preset's name.",
    "seed": "The picture's seed.",
    "width": "The file's width in pixels.",
    "height": "The file's height in pixels.",
    "image_id": "The picture's id.",
    "ext": "The file's extension without a dot. Every template ends in `.{ext}`.",
}
"""Every field of a template, with its meaning. A catalogue adds the names of its axes."""

GTIN_DIGITS = (8, 12, 13, 14)
MAX_NAME_BYTES = 200  # file systems take 255 bytes; uploaders and archives add their own suffixes
MAX_TEMPLATE_CHARS = 200
_PADDED = {"n": range(1, 7), "gtin": GTIN_DIGITS}  # the widths that a field may be padded to
_FIELD = re.compile(r"\{([^{}]*)\}")
_REFUSED = frozenset('/\\:*?"<>|')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # on Windows, with any extension
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True)
class _Field:
    """One field of a template. `pad_to` is the number of digits to which zeros are added, 0 = none."""

    name: str
    pad_to: int = 0


@dataclass(frozen=True)
class NameTemplate:
    """A checked template of file names. `parse_template` makes it.

    `text` is the template as it was written, and `fields` are the names of the values that `render` needs.
    """

    text: str
    parts: tuple[str | _Field, ...]

    @property
    def fields(self) -> frozenset[str]:
        """The names of the template's fields."""
        return frozenset(part.name for part in self.parts if isinstance(part, _Field))

    def render(self, values: Mapping[str, str | int]) -> str:
        """Fill in the fields and return the file's name in Unicode NFC. Values that the template lacks are ignored.

        Raises BadInput: `filename_invalid` when a value is missing or empty, or the name is not one plain file name,
        and `gtin_invalid` when the value of `gtin` is no GTIN.
        """
        return check_name("".join(part if isinstance(part, str) else _filled(part, values) for part in self.parts))


def parse_template(text: str, axes: Collection[str] = ()) -> NameTemplate:
    """Check a template and return it. `axes` are names of a catalogue's axes, which become fields too.

    Raises BadInput `template_invalid` with the rule, the value found and the remedy.
    """
    if not 1 <= len(text) <= MAX_TEMPLATE_CHARS:
        raise _refused("a template must have 1 to 200 characters", f"{len(text)}", "shorten it")
    known = {*FIELDS, *axes}
    parts: list[str | _Field] = []
    at = 0
    for match in _FIELD.finditer(text):
        parts += [_literal(text[at : match.start()]), _field(match[1], known)]
        at = match.end()
    parts.append(_literal(text[at:]))
    if not text.endswith(".{ext}"):
        raise _refused("a template must end in .{ext}", _shown(text), "add it; the preset decides between JPEG and PNG")
    return NameTemplate(text, tuple(part for part in parts if part != ""))


def check_name(name: str) -> str:
    """Return a file name in Unicode NFC. Raises BadInput `filename_invalid` when it is not one plain, portable name."""
    name = unicodedata.normalize("NFC", name)
    if wrong := next((one for one in name if _broken(one)), None):
        rule = 'a file name must not hold a separator, a control character or one of : * ? " < > |'
        raise _bad_name(rule, name, f"replace {_shown(wrong)} in the field's value")
    if name.startswith((".", " ", "-")) or name.endswith((".", " ")) or ".." in name:
        rule = "a file name must not start with a dot, a space or a dash, end in a dot or a space, or hold `..`"
        raise _bad_name(rule, name, "change the field's value or the template")
    if _RESERVED.fullmatch(name):
        raise _bad_name("a file name must not be reserved by Windows", name, "add a prefix to the template")
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        rule = f"a file name must have 1 to {MAX_NAME_BYTES} bytes in UTF-8"
        raise _bad_name(rule, f"{len(name.encode())} bytes", "shorten the field's value or the template")
    return name


def collision_key(name: str) -> str:
    """The text by which two names collide: file systems may ignore case and Unicode forms."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())


def check_gtin(text: str) -> str:
    """Return a GTIN of 8, 12, 13 or 14 digits as it was given. Raises BadInput `gtin_invalid` for any other text.

    The last digit is the check digit: with it, the digits weighted 1, 3, 1, 3 … from the right add up to a multiple
    of 10.
    """
    if re.fullmatch(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", text):
        rule = "a GTIN must be written in full"
        raise _bad_gtin(rule, text, "a spreadsheet rounded it; format the column as text and enter the digits again")
    if not re.fullmatch(r"[0-9]+", text):
        raise _bad_gtin("a GTIN must hold only the digits 0 to 9", text, "remove spaces, dashes and letters")
    if len(text) not in GTIN_DIGITS:
        rule, remedy = "a GTIN must have 8, 12, 13 or 14 digits", "a spreadsheet may have removed zeros at the start"
        raise _bad_gtin(rule, f"{text} ({len(text)} digits)", remedy)
    right = _check_digit(text[:-1])
    if int(text[-1]) != right:
        rule = f"the last digit of {text[:-1]}? must be {right}"
        raise _bad_gtin(rule, text, "compare it with the barcode; digits may be swapped")
    return text


def _check_digit(digits: str) -> int:
    return -sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(digits))) % 10


def check_asin(text: str) -> str:
    """Return an ASIN, ten capital letters or digits, as it was given. Raises BadInput `filename_invalid` otherwise."""
    if not re.fullmatch(r"[A-Z0-9]{10}", text):
        raise _bad_name("an ASIN must be ten capital letters or digits", text, "copy it from the product's page")
    return text


def _literal(text: str) -> str:
    for one in text:
        if one in "{}":
            raise _refused("a brace must belong to a field such as {sku}", _shown(text), "close it or remove it")
        if _broken(one):
            rule = 'a template must not hold a separator, a control character or one of : * ? " < > |'
            raise _refused(rule, _shown(one), "remove it; folders belong to the route")
    if ".." in text:
        raise _refused("a template must not hold `..`", _shown(text), "remove a dot")
    return text


def _field(inside: str, known: Collection[str]) -> _Field:
    name, colon, width = inside.partition(":")
    if name not in known:
        choices = ", ".join(f"{{{one}}}" for one in sorted(known))
        raise _refused("a field must be a known one", _shown(f"{{{inside}}}"), f"use one of {choices}")
    if not colon:
        return _Field(name)
    if name not in _PADDED or not re.fullmatch(r"0?[0-9]{1,2}", width) or int(width) not in _PADDED[name]:
        raise _refused(
            "a field has no format, except {n:02} (1 to 6 digits) and {gtin:14} (8, 12, 13 or 14 digits)",
            _shown(f"{{{inside}}}"),
            f"write {{{name}}}",
        )
    return _Field(name, int(width))


def _filled(field: _Field, values: Mapping[str, str | int]) -> str:
    value = values.get(field.name, "")
    if isinstance(value, bool) or (field.name == "n" and not _is_count(value)):
        raise _bad_name("{n} must be a number from 0", str(value), "number the pictures")
    text = str(value)
    if not text.strip():
        raise _bad_name(f"{{{field.name}}} must have a value", text, "give the item one or change the template")
    if field.name == "gtin":
        text = check_gtin(text)
        if field.pad_to and len(text.lstrip("0")) > field.pad_to:
            raise _bad_name(f"{{gtin:{field.pad_to}}} has too few digits for the GTIN", text, "write {gtin:14}")
        return text.lstrip("0").zfill(field.pad_to) if field.pad_to else text
    if field.name == "asin":
        return check_asin(text)
    return text.zfill(field.pad_to)


def _is_count(value: str | int) -> bool:
    return value >= 0 if isinstance(value, int) else re.fullmatch(r"[0-9]+", value) is not None


def _broken(character: str) -> bool:
    return character in _REFUSED or unicodedata.category(character) in _REFUSED_CATEGORIES


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _refused(rule: str, got: str, remedy: str) -> BadInput:
    return BadInput("template_invalid", f"{rule}, got {got}; {remedy}")


def _bad_name(rule: str, got: str, remedy: str) -> BadInput:
    return BadInput("filename_invalid", f"{rule}, got {_shown(got)}; {remedy}")


def _bad_gtin(rule: str, got: str, remedy: str) -> BadInput:
    return BadInput("gtin_invalid", f"{rule}, got {_shown(got)}; {remedy}")
