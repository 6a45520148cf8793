"""From the metric rows of a study to the lines of its summary, comparison and challenge tables."""
