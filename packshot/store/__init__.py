"""Durable state: tenants, keys, photos, masks, shots and images in SQL; their bytes behind fsspec."""
