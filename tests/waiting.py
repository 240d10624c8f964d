"""How long tests wait."""

WAIT_S = 120.0
"""For what must come, in seconds: the machine may do much else."""
