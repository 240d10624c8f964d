"""A limit of concurrent requests that last: each takes a slot, of its tenant's and of the whole process.

Serve gives a gateway a number of requests at a time. Requests that last must not use them up, or nothing else is
answered, health included. So they have far fewer slots here than `max_ongoing_requests` in deployments/gateway.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from packshot.errors import Overloaded

RETRY_AFTER_S = 2.0


class ConcurrencyLimit:
    """Counts requests of one kind. Use it from one event loop.

    `each` is how many a tenant may have, and `total` how many there are. `what` names them in errors.
    """

    def __init__(self, each: int, total: int, what: str) -> None:
        self._each = each
        self._total = total
        self._what = what
        self._taken: Counter[str] = Counter()

    def take(self, tenant_id: str) -> None:
        """Take a slot. Raises Overloaded `busy` when the tenant, or the process, has no more."""
        if self._taken[tenant_id] >= self._each:
            rule = f"A tenant may have {self._each} {self._what} open here, got one more; close some, or retry later."
            raise Overloaded("busy", rule, retry_after_s=RETRY_AFTER_S)
        if self._taken.total() >= self._total:
            rule = f"At most {self._total} {self._what} may be open here, got one more; retry later."
            raise Overloaded("busy", rule, retry_after_s=RETRY_AFTER_S)
        self._taken[tenant_id] += 1

    def free(self, tenant_id: str) -> None:
        """Give a slot back."""
        self._taken[tenant_id] -= 1
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]

    @contextmanager
    def slot(self, tenant_id: str) -> Iterator[None]:
        """Hold a slot for the length of the block. Raises as `take` does."""
        self.take(tenant_id)
        try:
            yield
        finally:
            self.free(tenant_id)
