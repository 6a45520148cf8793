"""One pair of a simulated cohort: patient, deformation, grids and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from tenter.phantoms import anatomy, deformation
from tenter.phantoms.anatomy import Anatomy, Triple
from tenter.phantoms.appearance import Echo, Scan, magnetic_resonance, occupancy, ultrasound
from tenter.phantoms.deformation import Deformation
from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry

Side = Literal["moving", "fixed"]
SIDES: tuple[Side, Side] = ("moving", "fixed")
Image = Float[np.ndarray, "x y z"]
Stack = Float[np.ndarray, "l x y z"]

AXES = {
    "R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0),
    "S": (0, 0, 1), "I": (0, 0, -1),
}  # fmt: skip
MOVING_STORAGE = ("RAS", "LPS", "LAS", "PIR", "LSA")
FIXED_STORAGE = ("RAS", "LAS", "LPS", "RAS", "PSR")
MOVING_SPACING = np.array([[1.0, 1, 1], [0.95, 0.95, 1.5], [1.05, 1.05, 1.25]])
FIXED_SPACING = np.array([[1.0, 1, 1], [1.05, 1.05, 1.05], [0.95, 0.95, 1.2]])
ALWAYS = ("gland", "bladder")
"""Labels 0 and 1 of every pair; further labels differ from pair to pair."""


@dataclass(frozen=True)
class Grid:
    """The voxels of one stored image.

    Attributes:
        affine: voxel to RAS mm.
        shape: voxels along the stored axes.
    """

    affine: Matrix
    shape: tuple[int, int, int]

    def points(self) -> PointsMm:
        """Voxel centres in RAS mm, last axis fastest."""
        voxels = np.indices(self.shape, dtype=np.float64).reshape(3, -1).T
        return geometry.apply(self.affine, voxels)

    def corners(self) -> PointsMm:
        """The eight outermost voxel centres in RAS mm."""
        ends = np.indices((2, 2, 2), dtype=np.float64).reshape(3, -1).T * (np.array(self.shape) - 1)
        return geometry.apply(self.affine, ends)

    @property
    def voxel_mm(self) -> float:
        """Edge of a cube as large as a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) ** (1 / 3))


@dataclass(frozen=True)
class Scene:
    """Everything that determines a pair's images, labels and points.

    Attributes:
        anatomy: the patient.
        origin: moving point (mm) at the origin of the patient's frame.
        deformation: fixed to moving points.
        grids: of the moving and the fixed image.
        labelled: structures that each side labels, in the order of their keys; organs by
            their names, landmarks by their numbers.
        sites: names of the corresponding points; empty if there are none.
    """

    anatomy: Anatomy
    origin: Triple
    deformation: Deformation
    grids: dict[Side, Grid]
    labelled: dict[Side, tuple[str, ...]]
    sites: tuple[str, ...]

    def patient_points(self, side: Side) -> PointsMm:
        """Voxel centres of a side's image in the patient's frame, mm."""
        points = self.grids[side].points()
        return np.asarray(
            (points if side == "moving" else self.deformation.map_points(points)) - self.origin
        )

    def image(self, side: Side, rng: np.random.Generator) -> Image:
        """MR (moving; whole numbers about 0 to 1000) or ultrasound (fixed; 0 to 255)."""
        grid, inside = self.grids[side], self.patient_points(side)
        if side == "moving":
            values = magnetic_resonance(rng, self.anatomy, inside, grid.voxel_mm)
        else:
            values = ultrasound(
                rng, self.anatomy, (grid.points(), inside), self.scan(), grid.voxel_mm
            )
        return np.round(values).reshape(grid.shape)

    def labels(self, side: Side) -> Stack:
        """Fraction of each voxel that each label fills."""
        grid, inside = self.grids[side], self.patient_points(side)
        distances = self.anatomy.distances(inside)
        for number, body in enumerate(self.anatomy.landmarks):
            distances[str(number)] = self.anatomy.body(body, inside)
        shares = [occupancy(distances[name], grid.voxel_mm) for name in self.labelled[side]]
        return np.stack(shares).reshape(-1, *grid.shape)

    def points(self, side: Side) -> dict[str, Triple]:
        """Named corresponding points of a side in RAS mm."""
        sites = self.anatomy.sites()
        moving = np.stack([sites[name] for name in self.sites]) + self.origin
        positions = moving if side == "moving" else self.deformation.inverse_points(moving)
        return dict(zip(self.sites, positions, strict=True))

    def scan(self) -> Scan:
        """The ultrasound probe: where the rectum is in the fixed image."""
        behind = np.array([0.0, -self.anatomy.gland[1] - self.anatomy.rectum - 3.5, 0.0])
        bodies = self.anatomy.landmarks
        patient = np.stack([behind, *(body.centre for body in bodies)])
        centres = self.deformation.inverse_points(patient + self.origin)
        gains = {"cyst": 5.0, "calcification": -22.0}
        echoes = tuple(
            Echo(centre, float(body.radii.mean()), gains[body.kind])
            for centre, body in zip(centres[1:], bodies, strict=True)
        )
        return Scan(centres[0], self.anatomy.rectum - 0.5, echoes)


def draw(patient: np.random.Generator, pair: np.random.Generator, spacing_mm: float) -> Scene:
    """Draw a pair.

    Args:
        patient: generator of what all pairs of a patient share; pass a fresh one each time.
        pair: generator of what is specific to the pair.
        spacing_mm: voxel size that the images' own voxel sizes scatter about.
    """
    body = anatomy.draw(patient)
    origin = patient.uniform([-12, -40, -60], [12, 10, 20])
    fixed_centre = pair.uniform(-30, 30, 3)
    grids: dict[Side, Grid] = {
        "moving": _grid(
            pair, origin + pair.uniform(-5, 5, 3), pair.uniform([100, 98, 92], [108, 106, 104]),
            spacing_mm * pair.choice(MOVING_SPACING),
            (str(pair.choice(MOVING_STORAGE)), 0.0),
        ),
        "fixed": _grid(
            pair, fixed_centre + pair.uniform(-4, 4, 3), pair.uniform([86, 82, 80], [94, 90, 88]),
            spacing_mm * pair.choice(FIXED_SPACING),
            (str(pair.choice(FIXED_STORAGE)), float(pair.choice([0.0, 0.0, 0.1, 0.15]))),
        ),
    }  # fmt: skip
    deformed = deformation.draw(pair, fixed_centre, origin)
    names = list(body.sites())
    chosen = tuple(name for name in names if pair.uniform() < 0.8) if pair.uniform() < 0.75 else ()
    return Scene(body, origin, deformed, grids, _labelled(pair, len(body.landmarks)), chosen)


def _grid(
    rng: np.random.Generator,
    centre: Triple,
    extent_mm: Triple,
    spacing_mm: Triple,
    storage: tuple[str, float],
) -> Grid:
    """A grid about `centre`, stored along axes such as `LPS`, rotated about a random axis."""
    codes, angle = storage
    axes = np.array([AXES[code] for code in codes], dtype=float).T
    order = np.abs(axes).argmax(axis=0)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes * np.round(spacing_mm, 3)[order]
    counts = np.round(extent_mm / spacing_mm).astype(int)[order]
    affine[:3, 3] = centre - affine[:3, :3] @ ((counts - 1) / 2)
    return Grid(affine, (int(counts[0]), int(counts[1]), int(counts[2])))


def _labelled(rng: np.random.Generator, bodies: int) -> dict[Side, tuple[str, ...]]:
    """Choose labels: always gland and bladder, others at random, the last sometimes on one side."""
    chosen = [str(number) for number in range(bodies) if rng.uniform() < 0.85] or ["0"]
    chosen += ["verumontanum"] if rng.uniform() < 0.6 else []
    names = (*ALWAYS, *(str(name) for name in rng.permutation(chosen)))
    poorer: Side = "moving" if rng.uniform() < 0.5 else "fixed"
    sides: dict[Side, tuple[str, ...]] = {"moving": names, "fixed": names}
    if len(chosen) > 1 and rng.uniform() < 0.25:
        sides[poorer] = names[:-1]
    return sides


def label_map(stack: Float[np.ndarray, "l x y z"]) -> UInt8[np.ndarray, "x y z"]:
    """Integer map of a label stack: key + 1 where a label fills half the voxel, later keys win."""
    result = np.zeros(stack.shape[1:], dtype=np.uint8)
    for key, label in enumerate(stack):
        result[label >= 0.5] = key + 1
    return result
