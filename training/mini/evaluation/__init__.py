"""The evaluation of the shipped pack, with the classes that serve it.

    python -m training.mini.evaluation             # `make eval-mini`: table.json, table.md and sheets in out/eval-mini
    python -m training.mini.evaluation --subset    # fewer of the same samples, no painted sheet
    python -m training.mini.evaluation --commit    # also write the table next to the pack's weights
    python -m training.mini.evaluation --shards DIR --parts rendered    # only path-traced held-out pictures

subjects, stamps, rendered (pictures with masks) ─> pointing (prompts) ─> masks, borders ───┐
exact scenes ─> cutouts (alpha, colour)    outlines ─> ladder (0.5, 3, 12 megapixels) ──────┤
shots (products, prompts) ─> painting (engine) ─> readings, shadow, diversity, controls ────┴─> rows, table, sheets
"""
