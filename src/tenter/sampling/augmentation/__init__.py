"""Augmentation: random numbers drawn by key, and their effects on geometry and intensity."""
