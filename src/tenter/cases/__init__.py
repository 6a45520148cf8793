"""Prepared cases: image pairs on the grid that networks see, and how they are made."""
