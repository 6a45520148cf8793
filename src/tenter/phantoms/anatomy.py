"""A male pelvis as a handful of formulae: signed distances in mm, negative inside.

Every organ is defined in the patient's own frame: RAS mm about the centre of the prostate
gland. This module is independent of grids and modalities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tenter.shapes import PointsMm

Kind = Literal["cyst", "calcification"]
Distances = Float[np.ndarray, "n"]
Triple = Float[np.ndarray, "3"]

HILLOCK = np.array([4.4, 4.4, 6.5])
"""Half axes of the verumontanum, where the ducts enter the urethra, mm."""


@dataclass(frozen=True)
class Landmark:
    """A small body inside the gland that both modalities show.

    Attributes:
        kind: its type.
        centre: in the patient's frame, mm.
        radii: half axes in mm.
    """

    kind: Kind
    centre: Triple
    radii: Triple


@dataclass(frozen=True)
class Anatomy:
    """One patient.

    Attributes:
        gland: half axes of the prostate in mm.
        zone: half axes of its transition zone in mm.
        bend: how far the urethra bows backwards at the gland's centre, mm.
        rectum: radius of the rectum in mm.
        bladder: half axes of the bladder in mm.
        texture: frequencies (1/mm), phases and weights of the tissues' unevenness, [k, 5].
        landmarks: bodies inside the gland.
    """

    gland: Triple
    zone: Triple
    bend: float
    rectum: float
    bladder: Triple
    texture: Float[np.ndarray, "k 5"]
    landmarks: tuple[Landmark, ...]

    def distances(self, points: PointsMm) -> dict[str, Distances]:
        """Signed distance (mm, negative inside) of points to each organ, in painting order."""
        gland = self.prostate(points)
        hollow = _ellipsoid(points - [0, 6, self.gland[2] + self.bladder[2] - 5], self.bladder)
        return {
            "muscle": self._muscle(points),
            "bone": _ellipsoid(points - [0, 44, 2], np.array([14.0, 11.0, 20.0])),
            "rectum": self._rectum(points),
            "bladder": np.maximum(hollow, -gland),
            "gland": gland,
            "zone": _ellipsoid(points - [0, 0.22 * self.gland[1], 0.12 * self.gland[2]], self.zone),
            "urethra": self._urethra(points),
            "verumontanum": _ellipsoid(
                points - [0, self._course(np.zeros(1))[0], 0], np.array([4.4, 4.4, 6.5])
            ),
        }

    def prostate(self, points: PointsMm) -> Distances:
        """Signed distance to the gland: an ellipsoid with a narrow apex and a dent behind."""
        x, y, z = points.T
        narrowing = 1 + 0.18 * np.clip(z / self.gland[2], -1.2, 1.2)
        dent = 2.5 * np.exp(-np.square(x / 8)) * np.clip(-y / self.gland[1], 0, 1)
        shaped = np.stack([x / narrowing, y - dent, z], axis=1)
        return _ellipsoid(shaped, self.gland)

    def body(self, landmark: Landmark, points: PointsMm) -> Distances:
        """Signed distance to a landmark."""
        return _ellipsoid(points - landmark.centre, landmark.radii)

    def unevenness(self, points: PointsMm) -> Distances:
        """Slow variation of tissue about 0, standard deviation about 1: a sum of plane waves."""
        waves = np.cos(points @ self.texture[:, :3].T + self.texture[:, 3])
        return np.asarray(waves @ self.texture[:, 4])

    def sites(self) -> dict[str, Triple]:
        """Named points that an observer can find in either image, in the patient's frame, mm."""
        width, depth, height = self.gland
        return {
            "apex": np.array([0.0, 0.0, -height]),
            "base": np.array([0.0, 0.0, height]),
            "left": np.array([-width, 0.0, 0.0]),
            "right": np.array([width, 0.0, 0.0]),
            "anterior": np.array([0.0, depth, 0.0]),
        }

    def _urethra(self, points: PointsMm) -> Distances:
        x, y, z = points.T
        tube = np.hypot(x, y - self._course(z)) - 2.6
        return np.asarray(np.maximum(tube, np.abs(z) - 0.72 * self.gland[2]))

    def _course(self, z: Distances) -> Distances:
        """How far in front of the gland's centre the urethra runs at a height, mm."""
        return np.asarray(0.12 * self.gland[1] - self.bend * np.exp(-np.square(z / 10)))

    def _rectum(self, points: PointsMm) -> Distances:
        x, y, z = points.T
        course = -self.gland[1] - self.rectum - 3.5 - 0.004 * np.square(z)
        return np.asarray(np.hypot(x, y - course) - self.rectum)

    def _muscle(self, points: PointsMm) -> Distances:
        mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], axis=1)
        wall = _ellipsoid(mirrored - [47, 8, 0], np.array([12.0, 32.0, 60.0]))
        levator = _ellipsoid(mirrored - [27, -16, -22], np.array([4.0, 15.0, 22.0]))
        return np.asarray(np.minimum(wall, levator))


def _ellipsoid(offsets: PointsMm, radii: Triple) -> Distances:
    """Signed distance to an ellipsoid about 0, to first order near its surface."""
    scaled = np.linalg.norm(offsets / radii, axis=1)
    slope = np.linalg.norm(offsets / np.square(radii), axis=1)
    inside = -float(radii.min())
    return np.where(scaled > 1e-6, scaled * (scaled - 1) / np.maximum(slope, 1e-12), inside)


def draw(rng: np.random.Generator) -> Anatomy:
    """Draw a patient: sizes, zones, unevenness, and two to five well separated landmarks."""
    gland = rng.uniform([21, 14.5, 18], [27, 19, 23])
    directions = rng.normal(size=(24, 3))
    lengths = rng.uniform(6, 25, (24, 1))
    waves = directions / np.linalg.norm(directions, axis=1, keepdims=True) * (2 * np.pi / lengths)
    texture = np.hstack(
        [waves, rng.uniform(0, 2 * np.pi, (24, 1)), np.full((24, 1), np.sqrt(2 / 24))]
    )
    bare = Anatomy(
        gland=gland,
        zone=gland * rng.uniform(0.5, 0.72, 3),
        bend=float(rng.uniform(1, 5)),
        rectum=float(rng.uniform(9, 12)),
        bladder=rng.uniform([24, 18, 14], [34, 24, 24]),
        texture=texture,
        landmarks=(),
    )
    return Anatomy(**{**vars(bare), "landmarks": _landmarks(rng, bare, int(rng.integers(2, 6)))})


def _landmarks(rng: np.random.Generator, anatomy: Anatomy, count: int) -> tuple[Landmark, ...]:
    """Choose from 400 proposals bodies inside the gland, off the urethra and well separated."""
    centres = rng.uniform(-1, 1, (400, 3)) * anatomy.gland
    radii = rng.uniform(4.2, 5.6, (400, 1)) * rng.uniform(0.9, 1.1, (400, 3))
    kinds: list[Kind] = [
        "cyst" if share < 0.6 else "calcification" for share in rng.uniform(size=400)
    ]
    sizes = radii.max(axis=1)
    distances = anatomy.distances(centres)
    passage = np.minimum(distances["urethra"], distances["verumontanum"])
    fitting = (distances["gland"] < -sizes - 0.8) & (passage > sizes + 0.5)
    chosen: list[int] = []
    for index in np.flatnonzero(fitting):
        gaps = (
            np.linalg.norm(centres[chosen] - centres[index], axis=1) - sizes[chosen] - sizes[index]
        )
        if len(chosen) < count and (gaps > 2.5).all():
            chosen.append(int(index))
    return tuple(Landmark(kinds[index], centres[index], radii[index]) for index in chosen)
