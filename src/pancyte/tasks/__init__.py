"""The segmentation methods, one module each, and their union.

``Task`` is the registry: a configuration chooses by its ``kind``.
"""
