"""Augmentation: plain numbers that are drawn by key, and what they do to places and intensities."""
