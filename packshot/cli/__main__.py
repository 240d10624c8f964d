"""`python -m packshot.cli`."""

from packshot.cli import app

app()
