"""The scenarios: what a load test sends, and when."""
