"""One run: prepare, load, inject faults, record."""
