"""Log lines, as text for a person or as JSON for a log store. `PACKSHOT_LOG_FORMAT` chooses.

A JSON line is one object with `time`, `level`, `logger`, `message` and `stage`, the fields of `context.FIELDS` that are
known, `trace` and `span` while a span is open, and `error` with the traceback of an exception.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from packshot.telemetry import context, traces

LogFormat = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "request_id"}
"""The attributes of every log record, and Serve's name of `request`. What `extra=` adds has other names."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON. `stage` is the process's place in the graph, such as `director`."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage

    def format(self, record: logging.LogRecord) -> str:
        """Format a record. Values of `extra=` that are text, numbers or booleans become fields of their own."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "stage": self._stage,
            **context.fields(),
            **traces.ids(),
        }
        for name, value in vars(record).items():
            if name not in _OWN and not name.startswith("_") and isinstance(value, str | int | float | bool):
                line.setdefault(name, value)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logs(log_format: LogFormat, stage: str, stream: TextIO | None = None) -> logging.Handler:
    """Send this process's log records of level INFO and above to `stream`; None is the standard output.

    The root logger gets one handler, which replaces those that it had. Returns the handler.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter(stage) if log_format == "json" else logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for noisy in ("httpx", "httpcore", "alembic", "botocore", "s3fs", "fsspec", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return handler
