"""The whole attack: `python -m tests.attack` (`make attack`). Prints one JSON line per row, and then the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

from tests import corpus
from tests.attack import doors
from tests.attack.disk import disk_full
from tests.attack.lasting import lasting
from tests.attack.row import Row
from tests.attack.target import target
from tests.unit.imaging.test_corpus import mutations, seeds, truncations

REQUESTS, MUTATIONS, CUTS, ADDRESSES, EXAMPLES = 10_000, 2_400, 30, 200, 30
BODIES, STREAMS, PROBES, ROUNDS = 500, 500, 400, 60
MAX_FILE_BYTES = 1_000_000  # the target takes uploads of 1 MiB


def files() -> Iterator[tuple[str, bytes]]:
    """Pillow's own malformed files where they could be had, seeded mutations, and cut files."""
    if corpus.archive().exists():
        yield from ((name, data) for name, data in corpus.images().items() if len(data) < MAX_FILE_BYTES)
    yield from mutations(MUTATIONS)
    yield from ((name, cut) for name, cut, _ in truncations(seeds(), CUTS))


def main() -> int:
    """Run every row against a server of its own. Returns 1 when a property did not hold."""
    rows: list[Row] = []

    def run(attack: Callable[[], Row]) -> None:
        began_s = time.monotonic()
        row = attack()
        rows.append(row)
        print(row.line(), flush=True)
        print(f"# {row.name} took {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)

    with target() as server:
        run(lambda: doors.cross_tenant(server, REQUESTS))
        run(lambda: doors.addresses(server, ADDRESSES))
        run(lambda: doors.from_schema(server, EXAMPLES))
        run(lambda: lasting(server, BODIES, STREAMS, PROBES))
        run(lambda: doors.malformed(server, files()))
    run(lambda: disk_full(ROUNDS))
    print()
    for row in rows:
        print(row.shown())
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
