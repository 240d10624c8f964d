"""What must hold in a run, and in its pictures."""
