"""What every training shares: the loop, checkpoints, several workers."""
