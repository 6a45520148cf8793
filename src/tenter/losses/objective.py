"""The training objective: the weighted sum of all configured loss terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter import config, losses
from tenter.errors import TrainingError
from tenter.losses import presence
from tenter.records import Fault
from tenter.spatial import planes, slices, warp
from tenter.tensors import Field, Image, Labels, Scalar

TOTAL = "loss"
EMPTY = "empty_labels"


@runtime_checkable
class Pairs(Protocol):
    """The parts of a batch that the loss reads."""

    @property
    def moving(self) -> Image:
        """`[b, c, *space]`."""

    @property
    def fixed(self) -> Image:
        """`[b, c, *space]`."""

    @property
    def moving_labels(self) -> Labels:
        """`[b, l, *space]` in [0, 1]; padded with zeros if a pair has fewer than l labels."""

    @property
    def fixed_labels(self) -> Labels:
        """`[b, l, *space]`, likewise."""

    @property
    def present(self) -> Bool[Tensor, "b l"]:
        """Which of them are labels, not padding."""

    @property
    def structures(self) -> Bool[Tensor, "b l"]:
        """Which of these are structures; the others are landmarks."""


@runtime_checkable
class Sharers(Protocol):
    """Processes that share every batch equally."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def total(self, numbers: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Sums over all of them, without a gradient."""


@dataclass(frozen=True, slots=True)
class _Terms:
    """The terms of each kind, in their order."""

    labels: list[losses.LabelTerm]
    images: list[losses.ImageTerm]
    regularisers: list[losses.FieldTerm]


@dataclass(frozen=True, slots=True)
class _Slices:
    """A batch of slices in their own two dimensions."""

    moving: Image
    fixed: Image
    moving_labels: Labels
    fixed_labels: Labels
    present: Bool[Tensor, "b l"]
    structures: Bool[Tensor, "b l"]

    @classmethod
    def of(cls, batch: Pairs, axis: int) -> _Slices:
        """Drop the axis of one voxel."""
        images = (batch.moving, batch.fixed, batch.moving_labels, batch.fixed_labels)
        moving, fixed, moving_labels, fixed_labels = (image.squeeze(2 + axis) for image in images)
        return cls(moving, fixed, moving_labels, fixed_labels, batch.present, batch.structures)


class Objective:
    """The weighted sum that training minimises.

    Label terms are means over the labels that the batch has, image terms over all of its pairs;
    a pair without labels therefore enters only the image terms. On a grid of one slice every term
    is computed in its plane.

    If processes share a batch, a call gives each process its part of every figure: the sum of the
    parts is the figure of the whole batch, even if the shares have different numbers of labels
    that count.

    Args:
        settings: all terms.
        spacing_mm: voxel size of the grid along each axis.
        sharers: the processes that share each batch; None for a single process.

    Attributes:
        weights: weight of each term by its name: the loss's, numbered if it repeats.
        columns: names of all figures that a call returns, in its order.
        two_way: whether the field of the exchanged images is needed too.
    """

    def __init__(
        self, settings: config.Losses, spacing_mm: Sequence[float], sharers: Sharers | None = None
    ) -> None:
        self._settings = settings
        terms = (*settings.labels, *settings.images, *settings.regularisers)
        names = list(_numbered([term.title for term in terms]))
        self.weights = {name: term.weight for name, term in zip(names, terms, strict=True)}
        self.columns = (TOTAL, *names, *([EMPTY] if settings.labels else []))
        self.two_way = any(term.two_way for term in settings.regularisers)
        self._spacing_mm = tuple(spacing_mm)
        self._sharers = sharers
        self._terms_by_axis: dict[int | None, _Terms] = {}

    def __call__(
        self, field: Field, batch: Pairs, backward: Field | None = None
    ) -> dict[str, Scalar]:
        """Every term of a batch, and their weighted sum.

        Args:
            field: `[b, d, *space]` in voxels, from the fixed to the moving images.
            batch: the pairs that it registers.
            backward: the field of the exchanged images; needed if `two_way`.

        Returns:
            The sum, called `loss`, each unweighted term by name, and, if labels are compared,
            `empty_labels`: the share of the batch's labels that are empty on one side or both.

        Raises:
            TrainingError: a term compares images with different numbers of channels.
        """
        require_equal_channels(batch.moving.shape[1], batch.fixed.shape[1], self._settings)
        axis = slices.normal(field.shape[2:])
        terms = self._terms(axis)
        if axis is not None:
            field, batch = planes.to_plane(field, axis), _Slices.of(batch, axis)
            backward = None if backward is None else planes.to_plane(backward, axis)
        figures: dict[str, Scalar] = {}
        values = [
            *self._of_labels(terms, field, batch, figures),
            *self._shared(self._of_images(terms, field, batch)),
            *self._shared(self._of_fields(terms, field, backward)),
        ]
        total = field.new_zeros(())
        for weight, value in zip(self.weights.values(), values, strict=True):
            total = total + weight * value
        return {TOTAL: total, **dict(zip(self.weights, values, strict=True)), **figures}

    def _terms(self, axis: int | None) -> _Terms:
        """All terms, for volumes or for slices perpendicular to an axis."""
        if axis not in self._terms_by_axis:
            settings = self._settings
            spacing = [size for index, size in enumerate(self._spacing_mm) if index != axis]
            self._terms_by_axis[axis] = _Terms(
                [losses.label_loss(term, spacing) for term in settings.labels],
                [losses.image_loss(term, spacing) for term in settings.images],
                [losses.regulariser(term, spacing) for term in settings.regularisers],
            )
        return self._terms_by_axis[axis]

    def _of_labels(
        self, terms: _Terms, field: Field, batch: Pairs, figures: dict[str, Scalar]
    ) -> list[Scalar]:
        if not terms.labels:
            return []
        warped = warp.warp(batch.moving_labels, field, padding="zeros")
        both = presence.filled(warped) & presence.filled(batch.fixed_labels)
        present = batch.present.sum()
        empty = presence.Mean(
            (batch.present & ~both).sum() / present.clamp(min=1), present.to(field.dtype)
        )
        roles = [settings.role_weights for settings in self._settings.labels]
        means = [
            term.mean(warped, batch.fixed_labels, _weights(batch, role))
            for role, term in zip(roles, terms.labels, strict=True)
        ]
        *values, figures[EMPTY] = self._of_whole([*means, empty])
        return values

    def _of_whole(self, means: Sequence[presence.Mean]) -> list[Scalar]:
        """The contribution of each of this process's means to the whole batch's."""
        if self._sharers is None:
            return [mean.value for mean in means]
        counts = torch.stack([mean.over for mean in means])
        parts = counts / self._sharers.total(counts).clamp(min=1)
        return [mean.value * part for mean, part in zip(means, parts.unbind(), strict=True)]

    def _shared(self, values: Sequence[Scalar]) -> list[Scalar]:
        """The contribution of means over this process's pairs to the whole batch's."""
        return [value if self._sharers is None else value / self._sharers.size for value in values]

    def _of_images(self, terms: _Terms, field: Field, batch: Pairs) -> list[Scalar]:
        if not terms.images:
            return []
        warped = warp.warp(batch.moving, field, padding="border")
        inside = warp.inside(field)
        return [term(warped, batch.fixed, inside).mean() for term in terms.images]

    def _of_fields(self, terms: _Terms, field: Field, backward: Field | None) -> list[Scalar]:
        return [
            term(field, backward) if settings.two_way else term(field)
            for settings, term in zip(self._settings.regularisers, terms.regularisers, strict=True)
        ]


def require_equal_channels(moving: int, fixed: int, settings: config.Losses) -> None:
    """Reject terms that need equal numbers of channels on both sides if these differ.

    Args:
        moving: channels of moving images.
        fixed: channels of fixed images.
        settings: all terms.

    Raises:
        TrainingError: naming the terms.
    """
    if moving != fixed and settings.comparing:
        message = (
            f"moving images have {moving} channels, fixed ones {fixed}: "
            f"{', '.join(settings.comparing)} cannot compare them"
        )
        fix = "leave it out of `losses`, or give both as many channels"
        raise TrainingError(Fault("losses", message, fix))


def _weights(batch: Pairs, roles: config.RoleWeights) -> Float[Tensor, "b l"]:
    """The factor of each label; 0 for padding."""
    dtype = batch.fixed_labels.dtype
    structures = batch.structures.to(dtype)
    return batch.present.to(dtype) * (
        roles.structure * structures + roles.landmark * (1 - structures)
    )


def _numbered(names: Sequence[str]) -> Iterator[str]:
    for index, name in enumerate(names):
        before = names[:index].count(name)
        yield f"{name}-{before + 1}" if before else name
