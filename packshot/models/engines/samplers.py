"""The schedulers of a pack: its own, and those of the samplers that a shot can name instead.

Every one needs one call of the networks for each step, so rows with different samplers share steps.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from packshot.contract.shot_spec import Sampler
from packshot.models.packs.roles import ClassName

__all__ = ["CLASS_OF_SAMPLER", "scheduler_of", "step_takes_generator"]

CLASS_OF_SAMPLER: dict[Sampler, ClassName] = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
    "dpmpp": "DPMSolverMultistepScheduler",
    "lcm": "LCMScheduler",
}


def scheduler_of(own: Any, sampler: Sampler | None) -> Any:
    """The pack's `own` scheduler, or a new one of the sampler with the same noise schedule and spacing of timesteps.

    DDIM clips its samples unless it is told not to, which suits pixels and not latents.
    """
    if sampler is None or CLASS_OF_SAMPLER[sampler] == type(own).__name__:
        return own
    import diffusers

    wanted = getattr(diffusers, CLASS_OF_SAMPLER[sampler])
    more = {"clip_sample": False, "set_alpha_to_one": False} if sampler == "ddim" else {}
    return wanted.from_config(own.config, **more)


def step_takes_generator(scheduler: Any) -> bool:
    """Whether the scheduler's `step` takes the generator from which it may draw noise."""
    return _takes_generator(type(scheduler).step)


@cache
def _takes_generator(step: Callable[..., Any]) -> bool:
    return "generator" in inspect.signature(step).parameters
