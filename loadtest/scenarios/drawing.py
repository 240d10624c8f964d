"""The timeline of a scenario as text."""

from __future__ import annotations

import math
from itertools import accumulate

from loadtest.scenarios.scenario import Scenario

__all__ = ["draw"]

COLUMNS = 64
ROWS = 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def draw(scenario: Scenario) -> list[str]:
    """The timeline as lines of text: load over time, phases and faults. The header of a scenario's file repeats it."""
    planned = scenario.planned()
    loads = [planned.load_at((column + 0.5) * scenario.seconds / COLUMNS) for column in range(COLUMNS)]
    highest = max(loads) or 1.0
    lines = []
    for row in reversed(range(ROWS)):
        cells = (min(8, max(0, round(load / highest * ROWS * 8) - row * 8)) for load in loads)
        mark = f"×{highest:.3g}" if row == ROWS - 1 else ""
        lines.append(f"{mark:>6} ┤{''.join(_EIGHTHS[cell] for cell in cells)}")
    starts = list(accumulate((phase.seconds for phase in scenario.timeline), initial=0.0))
    columns = [math.floor(at / scenario.seconds * COLUMNS) for at in starts]
    names = (
        f"|{phase.name}"[: end - column].ljust(end - column)
        for phase, column, end in zip(scenario.timeline, columns, columns[1:], strict=False)
    )
    lines.append(f"        {''.join(names)}")
    found = (f"{phase.name} {phase.seconds:g} s{' (warm-up)' if phase.warm_up else ''}" for phase in scenario.timeline)
    lines.append(f"        {', '.join(found)}")
    lines += [f"        {fault.at_s:g} s: {fault.words}" for fault in scenario.chaos]
    return [line.rstrip() for line in lines]
