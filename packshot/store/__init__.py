"""Durable state: tenants, keys, photos, masks, shots and images as SQL rows, and their files through fsspec."""
