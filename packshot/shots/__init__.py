"""From an accepted shot to committed images: the director, the flow of a shot, and its stages."""

from packshot.shots.cutouts import CutoutFiles
from packshot.shots.director import Director
from packshot.shots.due_poll import DuePoll
from packshot.shots.finish import Finisher
from packshot.shots.layout import LayoutFiles
from packshot.shots.load_report import LoadReport, SharedLoadReport
from packshot.shots.runs_ended import RunsEnded
from packshot.shots.stages import DeliveryOrder, Finished, Fitted, Painted, Placed, Prepared, Stages, Step, Understood

__all__ = [
    "CutoutFiles",
    "DeliveryOrder",
    "Director",
    "DuePoll",
    "Finished",
    "Finisher",
    "Fitted",
    "LayoutFiles",
    "LoadReport",
    "Painted",
    "Placed",
    "Prepared",
    "RunsEnded",
    "SharedLoadReport",
    "Stages",
    "Step",
    "Understood",
]
