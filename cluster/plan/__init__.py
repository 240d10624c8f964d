"""The capacity planner: how many GPUs, and which replica sits where."""
