"""Catalogues: from a sheet of SKUs to its rows, its shots and its deliveries, and what all of that costs."""
