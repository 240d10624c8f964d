"""The role `upscaler`: a network that enlarges a painted scene, with the detail that Lanczos cannot give."""

from packshot.models.upscale.upscaler import Upscaler, load_upscaler

__all__ = ["Upscaler", "load_upscaler"]
