"""Prepared cases: pairs on the grid that networks see, and how they get there."""
