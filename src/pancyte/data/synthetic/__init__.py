"""Generated images with a truth that is exact, of what real sets lack."""
