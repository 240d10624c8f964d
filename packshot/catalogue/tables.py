"""Tables that Packshot writes for spreadsheets and channels: every cell is text that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from packshot.catalogue.sheet import inert
from packshot.contract.catalogue import RowProblem

__all__ = ["chunks_of", "lines_of", "problems_csv"]

CHUNK_CHARS = 64 * 1024
PROBLEM_COLUMNS = ("row", "sku", "column", "value", "code", "rule", "remedy")


def lines_of(columns: Sequence[str], rows: Iterable[Sequence[object]], *, delimiter: str = ",") -> Iterator[str]:
    """The table's lines, one at a time, the header first. A tab-separated table has no tab or line end in a cell."""
    quoted = delimiter != "\t"
    for cells in chain([columns], rows):
        texts = [inert(cell) for cell in cells]
        if quoted:
            line = io.StringIO()
            csv.writer(line, delimiter=delimiter, lineterminator="\r\n").writerow(texts)
            yield line.getvalue()
        else:
            yield "\t".join(" ".join(text.split()) for text in texts) + "\n"


def chunks_of(lines: Iterable[str]) -> Iterator[str]:
    """The lines in pieces of CHUNK_CHARS or a little more, so that a stream does not wait for each line."""
    some: list[str] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if size >= CHUNK_CHARS:
            yield "".join(some)
            some, size = [], 0
    if some:
        yield "".join(some)


def problems_csv(problems: Iterable[RowProblem]) -> Iterator[str]:
    """Every problem as a line of CSV."""
    return lines_of(PROBLEM_COLUMNS, ([getattr(one, name) for name in PROBLEM_COLUMNS] for one in problems))
