"""Procedurally rendered product scenes: image, exact mask, edges and caption. They need no assets, hence no licences.

batch = render(16, 128, seed=0)          # SceneBatch, on the CPU
python -m training.scenes --sheet out.png
"""

from training.scenes.render import SceneBatch, render

__all__ = ["SceneBatch", "render"]
