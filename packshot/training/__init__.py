"""Training: adapters and networks of a pack on a brand's pictures, and the loop that trains the embedded pack too.

    dataset ─> latents ─> loss of a batch (objective) ─> fit: gradients, checkpoints ─> files (export)
                              ^ trainables: what a kind trains        └─> checks: samples, curves, divergence

Nothing here knows Ray: `cluster.distribute` runs the same function in several workers.
"""
