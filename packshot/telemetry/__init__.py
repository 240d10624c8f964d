"""What a running server tells its operator, besides metrics: log lines, spans, and the context that both carry."""
