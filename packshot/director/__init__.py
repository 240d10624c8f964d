"""How an accepted shot becomes committed images: the flow of one shot, and the lease under which it runs."""

from packshot.director.director import Director
from packshot.director.flow import Painted, Stages, Step

__all__ = ["Director", "Painted", "Stages", "Step"]
