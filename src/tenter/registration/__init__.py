"""From two images and finished models to a transform and its files."""
