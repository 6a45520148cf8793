"""Row files, as a run writes them before its first job, for tests that call stages directly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tenter import files, manifest
from tenter.manifest import rows


def row_file(folder: Path, table: Path, ids: Iterable[str] | None = None) -> Path:
    """Write the rows of some pairs of a manifest, or of all, and return the file's path.

    Args:
        folder: folder to write to.
        table: the manifest.
        ids: ids of the pairs.
    """
    pairs = {pair.id: pair for pair in manifest.read(table)}
    names = list(pairs if ids is None else ids)
    path = folder / f"rows-{files.digest([str(table), *names])[:8]}.json"
    files.write_text(path, rows.text([pairs[name] for name in names], table.parent))
    return path
