"""The measured comparisons, one command each: `python -m bench` runs all of them."""
