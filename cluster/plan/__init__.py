"""The capacity planner: how many GPUs a demand needs, and which replicas share a device."""
