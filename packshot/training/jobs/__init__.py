"""Trainings that a server runs: each in a process of its own, whose folder a worker watches.

    store ──claim──> TrainingWorker ──order.json, pictures──> folder ──> child (train)
                          ^                                     │
                          └── metrics, sheet, checkpoint ───────┘  and a file `stop` ends it after its step

Nothing here imports Ray. `worker` imports no torch: only the child does, and its memory is free when it ends.
"""
