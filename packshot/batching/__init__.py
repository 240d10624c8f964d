"""Batching that never waits for a clock: what is queued while the model is busy is the next batch.

`@serve.batch` freezes a batch before it waits for the running one, so a busy model gets batches of one
(design: ray-serve.md). Both batchers here take what has arrived at the moment when the model is free.
"""

from packshot.batching.micro import MicroBatcher
from packshot.batching.policy import Policy, knee
from packshot.batching.renders import RenderBatcher, Rendered
from packshot.batching.singleflight import SingleFlight

__all__ = ["MicroBatcher", "Policy", "RenderBatcher", "Rendered", "SingleFlight", "knee"]
