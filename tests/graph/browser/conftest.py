"""The studio page in a browser, on the server of the graph tests. What needs no model is in tests/unit/studio."""

from tests.browser.page import chromium, coffee_file, cut_coffee, made_quick, visit

__all__ = ["chromium", "coffee_file", "cut_coffee", "made_quick", "visit"]
