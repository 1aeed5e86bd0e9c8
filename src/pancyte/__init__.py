"""Segment every cell, nucleus and organelle in a microscope image."""
