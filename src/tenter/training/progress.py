"""Progress of a training: a bar on a terminal, and a line in the log at each report."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from tenter import system_errors
from tenter.errors import OutputError

_log = logging.getLogger(__name__)


LOG = "train.log"
"""The log of a training since its first step, in the folder of its checkpoints."""


class _KeptLog(logging.FileHandler):
    """A log file that is closed with a warning if it cannot be written: training continues."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Stop logging to the file after an error of the operating system."""
        error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        path = Path(self.baseFilename)
        _log.warning(
            "%s (this log ends here, training goes on)",
            system_errors.fault(error, path, "written").text,
        )


@contextlib.contextmanager
def kept_log(folder: Path) -> Iterator[None]:
    """Append log records to a file that outlives the job; Snakemake's log restarts with each job.

    Raises:
        OutputError: the file cannot be opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = _KeptLog(folder / LOG, encoding="utf-8")
    except OSError as error:
        raise OutputError(system_errors.fault(error, folder / LOG, "written")) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        with contextlib.suppress(OSError):  # records that a full disk could not take are lost
            handler.close()


class Progress:
    """A recorder that reports to the user.

    Args:
        name: of the training.
        total: steps in all.
        start: steps done before.
        shown: whether to show a bar on a terminal.
    """

    def __init__(self, name: str, total: int, start: int = 0, *, shown: bool = True) -> None:
        self._name = name
        self._total = total
        self._start = self._last_step = start
        self._begin = self._last_time = time.monotonic()
        self._redirect = logging_redirect_tqdm()
        self._bar = tqdm(
            total=total,
            initial=start,
            desc=name,
            unit="step",
            file=sys.stderr,
            disable=not (shown and sys.stderr.isatty()),
        )

    def __enter__(self) -> Progress:  # noqa: PYI034 - beartype cannot check Self in a method
        """Print log lines above the bar."""
        if not self._bar.disable:
            self._redirect.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        if not self._bar.disable:
            self._redirect.__exit__(None, None, None)
        self._bar.close()

    def advance(self) -> None:
        """Count one step."""
        self._bar.update()

    def record(self, row: Mapping[str, float]) -> None:
        """Log the figures, seconds per step, and the remaining time."""
        now, step = time.monotonic(), int(row["step"])
        pace = (now - self._last_time) / max(step - self._last_step, 1)
        overall = (now - self._begin) / max(step - self._start, 1)
        self._last_time, self._last_step = now, step
        figures = ", ".join(f"{name} {row[name]:.4g}" for name in row if _shown(name, row[name]))
        remaining = (
            tqdm.format_interval(overall * (self._total - step)) if step > self._start else "?"
        )
        _log.info(
            "%s: step %d/%d, %s, %.3g s/step, %s left",
            self._name,
            step,
            self._total,
            figures,
            pace,
            remaining,
        )


def _shown(name: str, value: float) -> bool:
    hidden = name in {"step", "seconds", "learning_rate"} or name.endswith("_weighted")
    return not hidden and (name not in {"skipped", "empty_labels"} or value > 0)
