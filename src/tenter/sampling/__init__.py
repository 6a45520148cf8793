"""Batches for training, drawn from prepared cases."""
