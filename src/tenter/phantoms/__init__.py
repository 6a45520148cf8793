"""Pelvic phantoms: an anatomy in closed form, seen by MR and, deformed, by ultrasound."""
