"""Measures of a registration: numbers in, numbers out; knows no file."""
