"""The only one who knows MLflow: mirrors trainings while they go, and finished models as a whole.

The files are the truth and the mirror follows them: one run a fold, one parent run a model. A run
is found again by its tags, so that nothing is ever logged twice; a retrained fold gets a new run,
and the old one is tagged `superseded` and deleted (MLflow keeps deleted runs; its pages hide them).
"""

from tenter.tracking.mirror import Mirror
from tenter.tracking.place import Place, read_place, start
from tenter.tracking.publishing import FoldResult, ModelResult, publish

__all__ = ["FoldResult", "Mirror", "ModelResult", "Place", "publish", "read_place", "start"]
