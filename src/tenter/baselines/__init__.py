"""Registration without a trained network, by methods that the configuration names.

The method called `x` is the function `register` of the module `x` here, and `config.baselines` has
its settings. Only the module that is named is imported; `provenance` tracks it by its name. A
reference instead of a name is a function in the user's own code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from tenter.baselines.custom import custom
from tenter.cases.case_files import PreparedImages
from tenter.config import Baseline, CustomMethod
from tenter.records import ImagePair
from tenter.spatial.transform import Transform

Register = Callable[[ImagePair, PreparedImages, Any], Transform]
"""The function of a method.

It gets the id of a pair with its original images, both images on the case grid (the moving one as
the alignment places it), and the settings of the method. It gives the whole map, with the alignment
of the prepared images: the state that is measured as `before`. It raises DataError for a pair that
cannot be registered.
"""


def load(baseline: Baseline) -> Register:
    """The function of a baseline's method.

    Raises:
        InputError: a method of one's own cannot be imported, or its settings are not valid.
    """
    if isinstance(baseline, CustomMethod):
        return custom(baseline)
    register: Register = importlib.import_module(f"{__name__}.{baseline.method}").register
    return register
