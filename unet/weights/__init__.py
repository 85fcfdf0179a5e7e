"""Trained weights: find, verify, load, save and widen them."""
