"""Pure tensor geometry: grids, warping, composition, inversion, integration, Jacobians, smoothing.

Displacements are in voxels of the grid they lie on, component order = axis order, and
pull back: warped(p) = image(p + u(p)). Whole maps between physical spaces are in RAS mm.
Works in three dimensions, and in two where that needs no extra code; no files, no labels.
"""
