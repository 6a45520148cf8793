"""Appearance of a pelvis in T2-weighted MR and B-mode ultrasound, from signed distances.

Contrast, not physics: each tissue has a brightness, painted in order with soft edges; then
the effects of the modality are added (bias and Rician noise; sector, speckle, attenuation, shadow).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from tenter.phantoms.anatomy import Anatomy, Distances, Triple
from tenter.shapes import PointsMm

Values = Float[np.ndarray, "n"]

RANGE_DB = 48.0
"""Dynamic range of the ultrasound display."""
SECTOR = np.deg2rad(72.0)
"""Half the opening of the ultrasound sector."""
DEPTH_MM = 68.0
"""Depth of the ultrasound image, as a radius."""


@dataclass(frozen=True)
class Echo:
    """The effect of a body on the sound behind it: a shadow (negative) or an enhancement.

    Attributes:
        centre: fixed point in mm.
        radius: of the body, mm.
        gain_db: change of brightness behind the body.
    """

    centre: Triple
    radius: float
    gain_db: float


def occupancy(distances: Distances, width_mm: float) -> Values:
    """Share of a voxel that lies inside, from its centre's signed distance: 0.5 on the surface."""
    return np.clip(0.5 - distances / width_mm, 0.0, 1.0)


def magnetic_resonance(
    rng: np.random.Generator, anatomy: Anatomy, points: PointsMm, width_mm: float
) -> Values:
    """T2-weighted intensities (about 0 to 1000) at points of the patient's frame.

    Fluid and peripheral zone bright, transition zone uneven, muscle and gas dark; multiplied
    by a smooth bias field; with Rician noise (Gudbjartsson and Patz, MRM 34:910, 1995).

    Args:
        rng: source of bias and noise.
        anatomy: the patient.
        points: of the patient's frame, mm.
        width_mm: width of the tissues' edges, a voxel's.
    """
    organs = anatomy.distances(points)
    uneven = anatomy.unevenness(points)
    layers: list[tuple[Distances, float | Values]] = [
        (organs["muscle"], 140.0),
        (organs["bone"], 240.0),
        (organs["rectum"], 330.0),
        (organs["rectum"] + 3.5, 50.0),
        (organs["bladder"], 260.0),
        (organs["bladder"] + 3.0, 930.0),
        (organs["gland"] - 1.2, 180.0),
        (organs["gland"], 740 + 50 * uneven),
        (organs["zone"], 220.0),
        (organs["zone"] + 1.5, 390 + 90 * uneven),
        (organs["urethra"], 560.0),
        (organs["verumontanum"], 860.0),
    ]
    brightness = {"cyst": 960.0, "calcification": 40.0}
    layers += [(anatomy.body(body, points), brightness[body.kind]) for body in anatomy.landmarks]
    signal = _painted(560 + 45 * uneven, layers, width_mm)
    scaled = points / 60.0
    bias = np.exp(
        0.18 * (scaled @ rng.normal(size=3)) + 0.12 * np.square(scaled) @ rng.normal(size=3)
    )
    real, imaginary = rng.normal(0, 28, (2, len(points)))
    return np.asarray(np.hypot(signal * bias + real, imaginary))


def ultrasound(
    rng: np.random.Generator,
    anatomy: Anatomy,
    positions: tuple[PointsMm, PointsMm],
    scan: Scan,
    width_mm: float,
) -> Values:
    """B-mode intensities (0 to 255) of a transrectal sector scan.

    Args:
        rng: source of speckle.
        anatomy: the patient.
        positions: the same positions as fixed points and as points of the patient's frame, mm.
        scan: the probe.
        width_mm: width of the tissues' edges, a voxel's.
    """
    fixed, points = positions
    organs = anatomy.distances(points)
    uneven = 2.0 * anatomy.unevenness(points)
    layers: list[tuple[Distances, float | Values]] = [
        (organs["muscle"], -24.0),
        (organs["bone"], -6.0),
        (organs["rectum"] - 2.5, -6.0),
        (organs["bladder"] - 1.5, -9.0),
        (organs["bladder"] + 1.0, -52.0),
        (organs["gland"] - 1.5, -3.0),
        (organs["gland"], -18 + uneven),
        (organs["zone"], -25 + uneven),
        (organs["urethra"], -33.0),
        (organs["verumontanum"], -38.0),
    ]
    loudness = {"cyst": -46.0, "calcification": 2.0}
    layers += [(anatomy.body(body, points), loudness[body.kind]) for body in anatomy.landmarks]
    tissue_db = _painted(-11 + uneven, layers, width_mm)
    radius, angle, along = scan.polar(fixed)
    level_db = tissue_db + scan.gain_db(fixed) + 20 * np.log10(_speckle(rng, radius, angle, along))
    visible = (np.abs(angle) < SECTOR) & (radius > scan.radius) & (radius < DEPTH_MM)
    return np.where(visible, 255 * np.clip(1 + level_db / RANGE_DB, 0, 1), 0.0)


@dataclass(frozen=True)
class Scan:
    """A probe that lies along S and looks forward, fanning to both sides.

    Attributes:
        centre: of the probe, fixed point in mm.
        radius: of the probe, mm.
        echoes: bodies that darken or brighten what is behind them.
    """

    centre: Triple
    radius: float
    echoes: tuple[Echo, ...]

    def polar(self, points: PointsMm) -> tuple[Values, Values, Values]:
        """Distance from the probe's axis (mm), angle from the forward direction, height (mm)."""
        x, y, z = (points - self.centre).T
        return np.hypot(x, y), np.arctan2(x, y), z

    def gain_db(self, points: PointsMm) -> Values:
        """Attenuation with depth, reverberation at the probe, and the effects of bodies."""
        radius, angle, along = self.polar(points)
        depth = radius - self.radius
        gain: Values = -0.2 * depth + 7 * np.exp(-depth / 3.5)
        for echo in self.echoes:
            far, aside, up = (float(value[0]) for value in self.polar(echo.centre[None]))
            offset = np.hypot(radius * np.sin(angle - aside), along - up)
            behind = 1 / (1 + np.exp(-(radius - far)))
            gain += echo.gain_db * behind * np.exp(-0.5 * np.square(offset / (0.8 * echo.radius)))
        return gain


def _speckle(rng: np.random.Generator, radius: Values, angle: Values, along: Values) -> Values:
    """Rayleigh amplitudes of mean square 1, in grains that widen with depth."""
    step_mm, step_rad = 0.9, np.deg2rad(1.8)
    low = float(along.min())
    size = (
        int(DEPTH_MM / step_mm) + 2,
        int(2 * SECTOR / step_rad) + 2,
        int(np.ptp(along) / step_mm) + 2,
    )
    noise = ndimage.gaussian_filter(rng.normal(size=(2, *size)), (0, 0.7, 1.0, 0.9))
    amplitude = np.linalg.norm(noise, axis=0)
    coordinates = np.stack([radius / step_mm, (angle + SECTOR) / step_rad, (along - low) / step_mm])
    sampled = ndimage.map_coordinates(amplitude, coordinates, order=1, mode="nearest")
    return np.asarray(np.maximum(sampled / np.sqrt(np.square(amplitude).mean()), 1e-3))


def _painted(
    ground: Values, layers: list[tuple[Distances, float | Values]], width_mm: float
) -> Values:
    for distances, value in layers:
        share = occupancy(distances, width_mm)
        ground = ground * (1 - share) + share * value
    return ground
