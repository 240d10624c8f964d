"""How an accepted shot becomes committed images: the flow of one shot, and the lease under which it runs."""

from packshot.shots.director import Director
from packshot.shots.flow import Painted, Stages, Step
from packshot.shots.load_report import LoadReport

__all__ = ["Director", "LoadReport", "Painted", "Stages", "Step"]
