"""How an accepted shot becomes committed images: the flow of one shot, and the lease under which it runs."""

from packshot.director.director import Director
from packshot.director.flow import Painted, Stages, Step
from packshot.director.load import LoadReport

__all__ = ["Director", "LoadReport", "Painted", "Stages", "Step"]
