"""Random changes of samples in training; every function takes its own random generator."""
