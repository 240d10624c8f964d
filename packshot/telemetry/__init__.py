"""Telemetry besides metrics: log lines, spans, and the context that both carry."""
