"""Configurations, lists of files and weights of other systems, turned into those of pancyte."""
