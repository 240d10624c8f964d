"""What the shipped pack can do, measured through the classes that serve it.

    python -m training.mini.evaluation             # `make eval-mini`: table.json, table.md and sheets in out/eval-mini
    python -m training.mini.evaluation --subset    # a prefix of the same samples; meant for two minutes
    python -m training.mini.evaluation --commit    # also writes the table beside the pack's weights

subjects (pictures with exact masks) ─> pointing (prompts) ─> masks (IoU, calibration) ──┐
shots (products and prompts) ─> painting (engine) ─> scenes, shadow, diversity ──────────┴─> table, sheets
"""
