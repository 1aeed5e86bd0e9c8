"""The segmentation methods, one module each, and their union.

``Task`` is the registry: a configuration chooses by its ``kind``.
"""

from typing import TypeAlias

from pancyte.tasks.flow import FlowTask

Task: TypeAlias = FlowTask
"""Every task that a configuration can name."""
