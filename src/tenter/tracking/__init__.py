"""The only package that uses MLflow: mirrors trainings while they run, and finished models.

The files are the truth and the mirror follows them: one run per fold, one parent run per model. A
run is found again by its tags, so that nothing is ever logged twice. If the training or the figures
change, a new run replaces the old one, which is tagged `superseded` and deleted (MLflow keeps
deleted runs; its pages hide them).
"""

from tenter.tracking.diagnosis import examine
from tenter.tracking.finished_study import artifacts, fold_result, require_finished
from tenter.tracking.inventory import read_record, rebuilds
from tenter.tracking.location import Place, place_of, read_place, write_place
from tenter.tracking.mirror import Mirror
from tenter.tracking.publishing import FoldResult, ModelResult, OptionResult, publish
from tenter.tracking.store import start
from tenter.tracking.viewing import of_study

__all__ = [
    "FoldResult",
    "Mirror",
    "ModelResult",
    "OptionResult",
    "Place",
    "artifacts",
    "examine",
    "fold_result",
    "of_study",
    "place_of",
    "publish",
    "read_place",
    "read_record",
    "rebuilds",
    "require_finished",
    "start",
    "write_place",
]
