"""Matching of label images, and the scores computed from its counts."""
