"""One run: prepare the tenants, generate load, inject faults, record."""
