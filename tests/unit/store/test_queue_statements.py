"""The statements of the queue are made once in a process, and used by all of its threads."""

import sys
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from packshot.contract.status import SHOT_KINDS
from packshot.store.queue_changes import claim_next
from packshot.store.queue_order import queue_order

ROUNDS = 30


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns after each microsecond."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_threads_that_claim_for_the_first_time_at_once_have_statements_that_work() -> None:
    """SQLAlchemy makes a query's columns at their first use, and two threads may then make them twice."""
    at_once, texts = threading.Barrier(3), list[str]()
    dialect = make_url("postgresql+psycopg://").get_dialect()()

    def first_claim(worker: str, first: int) -> None:
        at_once.wait()
        texts.append(str(claim_next(worker, 30.0, "postgresql", first).compile(dialect=dialect)))

    for first in range(1000, 1000 + ROUNDS):  # each has a query of its own
        queue_order("postgresql", first, first, False, SHOT_KINDS, None)
        threads = [threading.Thread(target=first_claim, args=(f"w{number}", first)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(texts) == 3 * ROUNDS  # a statement that does not compile ends its thread
