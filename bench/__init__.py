"""The measured comparisons. Each is one command, and `python -m bench` runs all of them."""
