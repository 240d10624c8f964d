"""CSV sheets of SKUs, as spreadsheets write them: one row a SKU, `;` between several values in a cell.

A byte-order mark, Excel's quoting, and commas, semicolons or tabs as separators are understood. What a spreadsheet
damages is refused: a formula, and a number in scientific notation that was a GTIN.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from packshot.contract.catalogue import MAX_ROWS, RowProblem
from packshot.errors import BadInput, PackshotError

COLUMNS = (
    *("sku", "photo", "box", "points", "find", "mask", "scenes", "size_mm", "category", "must_read", "master"),
    *("adapters", "style"),
)
MAX_COLUMNS = 256
MAX_CELL_BYTES = 8 * 1024
SHOWN_CHARS = 80
_DELIMITERS = ",;\t"
_META = "meta."
SCIENTIFIC = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+")
FORMULA = "=+-@"
"""The characters with which a spreadsheet takes a cell for a formula."""
_FORMS = {"box": "Write it as 120;80;900;640.", "points": "Write them as 420;310, or 420;310;500;360."}
_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")


@dataclass(frozen=True)
class Sheet:
    """A sheet's items, as the JSON form of a manifest has them. `rows` are their rows as a spreadsheet numbers them."""

    items: list[dict[str, Any]]
    rows: list[int]
    problems: list[RowProblem]


def read_sheet(data: bytes) -> Sheet:
    """Read a CSV sheet. Cells that cannot be read are problems; their items lack that field.

    Raises BadInput `manifest_unreadable` when the bytes are no sheet at all.
    """
    text = _decoded(data)
    csv.field_size_limit(MAX_CELL_BYTES * 4)
    header, _, _ = text.partition("\n")
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        problems = list(_column_problems(names))
        items: list[dict[str, Any]] = []
        rows: list[int] = []
        for number, cells in enumerate(reader, start=2):
            if not any(cell.strip() for cell in cells):
                continue
            if len(items) == MAX_ROWS:
                raise _refused(f"a catalogue may have at most {MAX_ROWS} rows, got more; split the sheet")
            item, broken = _item_of(names, cells, number)
            items.append(item)
            rows.append(number)
            problems += broken
    except csv.Error as error:
        raise _refused(f"row {reader.line_num} is not CSV: {error}; save the sheet as CSV (UTF-8)") from None
    return Sheet(items, rows, problems)


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        byte = f"{data[error.start]:#04x}"
        raise _refused(f"a sheet must be UTF-8, got the byte {byte} in line {line}; save it as CSV UTF-8") from None


def _column_problems(names: list[str]) -> Iterator[RowProblem]:
    if len(names) > MAX_COLUMNS:
        raise _refused(f"a sheet may have at most {MAX_COLUMNS} columns, got {len(names)}")
    known = ", ".join(COLUMNS)
    for index, name in enumerate(names):
        if name in names[:index]:
            yield problem(1, None, name, name, "a column may occur once", "Keep one of them.")
        elif name not in COLUMNS and not (name.startswith(_META) and len(name) > len(_META)):
            yield problem(1, None, name, name, f"a column must be one of {known}, or meta.NAME", "Rename or remove it.")
    if "sku" not in names:
        yield problem(1, None, "sku", "", "a sheet must have the column sku", "Add it; the first row has the names.")


def _item_of(names: list[str], cells: list[str], number: int) -> tuple[dict[str, Any], list[RowProblem]]:
    item: dict[str, Any] = {}
    problems = []
    sku = next((cell.strip() for name, cell in zip(names, cells, strict=False) if name == "sku"), None)
    if len(cells) > len(names):
        found = f"the header has {len(names)} columns, the row has {len(cells)} cells"
        problems.append(problem(number, sku, "", cells[len(names)], found, "Quote cells that hold the separator."))
    for name, raw in zip(names, cells, strict=False):
        cell = raw.strip()
        if not cell:
            continue
        if rule := _damage(name, cell):
            problems.append(problem(number, sku, name, cell, *rule))
            continue
        try:
            _put(item, name, cell)
        except ValueError as error:
            remedy = _FORMS.get(name, "See docs/agency.md for the column's form.")
            problems.append(problem(number, sku, name, cell, str(error), remedy))
    return item, problems


def _damage(name: str, cell: str) -> tuple[str, str] | None:
    """(rule, remedy) if a spreadsheet damaged the cell, or would run it; else None."""
    if len(cell.encode()) > MAX_CELL_BYTES:
        return f"a cell may have at most {MAX_CELL_BYTES} bytes", "Shorten it."
    if _is_formula(cell) and not _NUMBER.fullmatch(cell.partition(";")[0]):
        return "a cell may not be a formula", "Paste its value, or format the column as text."
    if (name == "sku" or name.startswith(_META)) and SCIENTIFIC.fullmatch(cell):
        return "a number may not be in scientific notation", "Format the column as text and enter all digits again."
    return None


def _is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run the cell. A number with a sign is none."""
    return cell.lstrip()[:1] in tuple(FORMULA) and not _NUMBER.fullmatch(cell)


def inert(cell: object) -> str:
    """A cell for a sheet that we write, as text that no spreadsheet runs. None is an empty cell."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if _is_formula(text) else text


def _put(item: dict[str, Any], name: str, cell: str) -> None:
    """Set the field of a cell. Raises ValueError, with the rule, when the cell has another form."""
    if name.startswith(_META):
        item.setdefault("meta", {})[name.removeprefix(_META)] = cell
    elif name == "box":
        item["box"] = _numbers(cell, 4, "a box is x0;y0;x1;y1")
    elif name == "points":
        flat = _numbers(cell, None, "points are x;y;x;y;…")
        item["points"] = [flat[at : at + 2] for at in range(0, len(flat), 2)]
    elif name == "scenes":
        item["scenes"] = [one.strip() for one in cell.split(";") if one.strip()]
    elif name == "must_read":
        item.setdefault("proof", {})["must_read"] = [one.strip() for one in cell.split(";") if one.strip()]
    elif name == "master":
        item.setdefault("proof", {})["master"] = cell
    elif name == "size_mm":
        item["size_mm"] = _size(cell)
    elif name == "adapters":
        item["adapters"] = [adapter_of(one.strip()) for one in cell.split(";") if one.strip()]
    elif name == "style":
        item["style"] = {"style_id": cell}
    elif name in COLUMNS:
        item[name] = cell


def _numbers(cell: str, count: int | None, rule: str) -> list[float]:
    try:
        numbers = [float(one.strip().replace(",", ".")) for one in cell.split(";")]
    except ValueError:
        raise ValueError(f"{rule}, in pixels of the photo") from None
    if (count is not None and len(numbers) != count) or len(numbers) % 2:
        raise ValueError(f"{rule}, in pixels of the photo")
    return numbers


def adapter_of(text: str) -> dict[str, str | float]:
    """`ad_…` as it was trained, or `ad_…:0.8`. Raises ValueError, with the rule, for another form."""
    adapter_id, colon, scale = text.partition(":")
    if not colon:
        return {"id": adapter_id}
    if not _NUMBER.fullmatch(scale.strip()):
        raise ValueError("adapters are ad_…, or ad_…:SCALE, with ; between them")
    return {"id": adapter_id.strip(), "scale": float(scale.strip().replace(",", "."))}


def _size(cell: str) -> dict[str, float]:
    """`95` is a height; `height=95;width=60` names both."""
    if _NUMBER.fullmatch(cell):
        return {"height": float(cell.replace(",", "."))}
    pairs = [one.partition("=") for one in cell.split(";")]
    try:
        return {name.strip(): float(value.strip().replace(",", ".")) for name, _, value in pairs}
    except ValueError:
        raise ValueError("size_mm is a height, or height=95;width=60") from None


def problem(
    row: int | None, sku: str | None, column: str, value: object, rule: str, remedy: str, code: str = "invalid_request"
) -> RowProblem:
    """A problem whose value is cut to what fits into a table."""
    return RowProblem(
        row=row, sku=sku, column=column, value=str(value)[:SHOWN_CHARS], code=code, rule=rule, remedy=remedy
    )


def refused(error: PackshotError, row: int | None, sku: str | None, column: str, value: object) -> RowProblem:
    """The problem that an error of another module is. Its detail reads `RULE, got VALUE; REMEDY`."""
    rule, _, rest = error.detail.partition(", got ")
    remedy = rest.partition("; ")[2].rstrip(".")
    return problem(row, sku, column, value, rule, f"{remedy[:1].upper()}{remedy[1:]}.", error.code)


def skus(items: Iterable[dict[str, Any]]) -> list[str | None]:
    """The SKU of each item, or None where it is missing or no text."""
    return [sku if isinstance(sku := item.get("sku"), str) else None for item in items]


def _refused(rule: str) -> BadInput:
    return BadInput("manifest_unreadable", f"The manifest cannot be read: {rule}.")
