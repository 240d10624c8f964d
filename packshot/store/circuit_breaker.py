"""A circuit breaker for the database: while its server does not answer, all calls but one probe fail at once."""

from __future__ import annotations

import math
import threading
import time

from sqlalchemy import Connection, Engine, exc

from packshot.errors import Unavailable

DOES_NOT_ANSWER = "the database did not answer; try again (its error is in the log)"


class CircuitBreaker:
    """Each process has one for its database. It may be used from any thread. `down`: the server did not answer last.

    Without it, every call would wait for a server that is down and hold its thread. Later calls would wait for a
    thread, and none would be answered in time.
    """

    def __init__(self) -> None:
        self.down = False
        self._answered_s = -math.inf
        self._probe = threading.Lock()

    def connect(self, engine: Engine) -> Connection:
        """Take a connection from the engine's pool.

        Raises Unavailable at once while another call probes a server that is down, and when one connection after the
        other opens and then does not answer, as behind a PgBouncer whose server connections are all in use.
        """
        probes = self.down
        if probes and not self._probe.acquire(blocking=False):
            raise Unavailable("not_ready", DOES_NOT_ANSWER)
        began_s = time.monotonic()
        try:
            connection = engine.connect()
        except (exc.OperationalError, exc.TimeoutError):
            self.down = self._answered_s < began_s  # else there are too few connections, and other callers have them
            raise
        except exc.InvalidRequestError as error:  # the pool has given up its attempts
            self.down = self._answered_s < began_s
            raise Unavailable("not_ready", DOES_NOT_ANSWER) from error
        finally:
            if probes:
                self._probe.release()
        self.down, self._answered_s = False, time.monotonic()
        return connection
