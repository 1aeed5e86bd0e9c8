"""Numerics: arrays in, arrays out, on the CPU; no files, configuration, logging or global state."""
