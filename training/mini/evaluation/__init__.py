"""The evaluation of the shipped pack, with the classes that serve it.

    python -m training.mini.evaluation             # `make eval-mini`: table.json, table.md and sheets in out/eval-mini
    python -m training.mini.evaluation --subset    # a prefix of the same samples; takes about two minutes
    python -m training.mini.evaluation --commit    # also write the table next to the pack's weights

subjects (pictures with exact masks) ─> pointing (prompts) ─> masks (IoU, calibration) ──┐
shots (products and prompts) ─> painting (engine) ─> scenes, shadow, diversity ──────────┴─> table, sheets
"""
