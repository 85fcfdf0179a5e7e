"""Scores of weights on patients: the published protocol."""
