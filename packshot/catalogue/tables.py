"""Tables that Packshot writes for spreadsheets and channels: every cell is text that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from packshot.catalogue.sheet import inert
from packshot.contract.catalogue import RowProblem

__all__ = ["PROBLEM_COLUMNS", "lines_of", "problems_csv"]

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


def problems_csv(problems: Iterable[RowProblem]) -> Iterator[str]:
    """Every problem as a line of CSV."""
    return lines_of(PROBLEM_COLUMNS, ([getattr(one, name) for name in PROBLEM_COLUMNS] for one in problems))
