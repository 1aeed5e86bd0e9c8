"""Numerics: numpy arrays in, numpy arrays out, on the CPU; no files, configuration, logging or global state."""
