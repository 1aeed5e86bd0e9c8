"""The training engine; knows tasks only by their protocol."""
