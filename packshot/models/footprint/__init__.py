"""Footprints: the memory and arithmetic that each GPU stage of a pack needs."""
