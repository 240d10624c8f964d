"""Product scenes drawn by a machine: image, exact mask, edges, caption. No assets, no licence questions.

batch = render(16, 128, seed=0)          # SceneBatch, on the CPU
python -m training.scenes --sheet out.png
"""

from training.scenes.render import SceneBatch, render

__all__ = ["SceneBatch", "render"]
