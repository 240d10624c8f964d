"""Work-conserving batching: the items that are queued while the model is busy form the next batch.

Ray's `@serve.batch` closes a batch before it waits for the running one, so a busy model gets batches of one
(docs/ray-serve.md). Both batchers of this package form a batch when the model becomes free, and never wait for a
timeout.
"""

from packshot.batching.curve import StepCurve
from packshot.batching.micro import MicroBatcher
from packshot.batching.painter import Painter
from packshot.batching.policy import Policy, knee
from packshot.batching.renders import RenderBatcher
from packshot.batching.scene_job import Rendered
from packshot.batching.singleflight import SingleFlight

__all__ = ["MicroBatcher", "Painter", "Policy", "RenderBatcher", "Rendered", "SingleFlight", "StepCurve", "knee"]
