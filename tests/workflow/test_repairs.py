"""Files of a finished study are deleted or damaged;
what `tenter status --verify` advises makes it whole.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.clones import Clone

Damage = Callable[[Path], None]


def verify(study: Clone) -> tuple[int, str]:
    done = study.tool(
        sys.executable, "-m", "tenter.cli.main", "status", "config/trial.yaml", "--verify"
    )
    return done.returncode, done.stdout + done.stderr


def follow(study: Clone, advice: str) -> None:
    """Do to the letter what is advised: delete what is named, where that is asked for,
    and run each line.
    """
    for name in re.findall(r"(results/[^\s:]+): [^;]*; delete it", advice):
        (study.root / name).unlink(missing_ok=True)
    commands = dict.fromkeys(re.findall(r"`(snakemake [^`]*)`", advice))
    assert commands
    for command in commands:
        done = study.tool(sys.executable, "-m", *shlex.split(command), "--cores", "2")
        assert done.returncode == 0, done.stdout + done.stderr


def delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def lose_lines(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def damaged(study: Clone, pattern: str, damage: Damage) -> str:
    """Damage the first file that fits; its name."""
    path = min(study.results.glob(pattern))
    damage(path)
    return str(path.relative_to(study.root))


def repaired(study: Clone, damages: list[tuple[str, Damage]]) -> None:
    names = [damaged(study, pattern, damage) for pattern, damage in damages]
    code, told = verify(study)
    assert code == 3
    assert [name for name in names if name not in told] == []
    follow(study, told)
    code, told = verify(study)
    assert code == 0, told
    assert study.stale() == set()


def test_what_is_advised_repairs_a_study(finished: Clone) -> None:
    transform = ("fields/a/*/transform.h5", delete)
    images = ("cases/tables/0-0.images.tsv", delete)
    repaired(
        finished,
        [
            transform,
            images,
            ("metrics.tsv", lose_lines),
            ("models/b/fold-1/model.safetensors", delete),
        ],
    )


KINDS: list[tuple[str, Damage]] = [
    ("fields/b/*/field.nii.gz", delete),
    ("fields/b/*/field.nii.gz", flip_a_bit),
    ("fields/b/*/infer.json", delete),
    ("fields/tables/a/*.tsv", delete),
    ("fields/tables/a/*.tsv", lose_lines),
    ("cases/tables/*.images.tsv", lose_lines),
    ("cases/tables/*.labels.tsv", delete),
    ("cases/*/moving.nii", delete),
    ("cases/*/fixed.nii", flip_a_bit),
    ("metrics/b/*.tsv", delete),
    ("metrics/a/*.tsv", lose_lines),
    ("metrics/a/*.provenance.json", delete),
    ("models/a/*/model.json", delete),
    ("models/a/*/history.csv", delete),
    ("mapped_points/a/*", delete),
    ("summary.tsv", delete),
    ("challenges.tsv", delete),
    ("report.html", delete),
]


@pytest.mark.soak
@pytest.mark.parametrize(("pattern", "damage"), KINDS, ids=[f"{p} {d.__name__}" for p, d in KINDS])
def test_each_kind_of_damage_is_repaired(finished: Clone, pattern: str, damage: Damage) -> None:
    repaired(finished, [(pattern, damage)])


@pytest.mark.soak
@pytest.mark.parametrize("folder", ["fields", "models", "cases", "metrics"])
def test_a_deleted_folder_is_made_again(finished: Clone, folder: str) -> None:
    shutil.rmtree(finished.results / folder)
    code, told = verify(finished)
    assert code == 3
    follow(finished, told)
    assert verify(finished)[0] == 0
    assert finished.stale() == set()
