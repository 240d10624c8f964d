"""From an accepted shot to committed images: the director, the flow of a shot, and its stages."""

from packshot.shots.cutouts import CutoutFiles
from packshot.shots.director import Director
from packshot.shots.finish import Finisher
from packshot.shots.layout import LayoutFiles
from packshot.shots.load_report import LoadReport
from packshot.shots.stages import DeliveryOrder, Finished, Fitted, Painted, Placed, Prepared, Stages, Step

__all__ = [
    "CutoutFiles",
    "DeliveryOrder",
    "Director",
    "Finished",
    "Finisher",
    "Fitted",
    "LayoutFiles",
    "LoadReport",
    "Painted",
    "Placed",
    "Prepared",
    "Stages",
    "Step",
]
