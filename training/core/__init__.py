"""The parts that every training shares: the loop, checkpoints, and data-parallel workers."""
