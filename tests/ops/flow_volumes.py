"""Drawn volumes that are hard for a field: long, bent, hollow, flat, nested."""

from __future__ import annotations

import numpy as np

from pancyte.ops.flow import decode_flow, labels_to_flow


def grid(half_sides):
    """Coordinates z, y, x around the middle of a volume."""
    return np.stack(np.meshgrid(*[np.arange(-h, h + 1) for h in half_sides], indexing="ij"))


def ellipsoid(axes):
    """An ellipsoid of the given semi-axes z, y, x."""
    place = grid([int(axis) + 2 for axis in axes])
    scaled = place / np.reshape(axes, (3, 1, 1, 1))
    return ((scaled**2).sum(axis=0) <= 1).astype(np.int32)


def rod(length, radius, direction=(1, 2, 3)):
    """A straight rod at an angle."""
    along = np.array(direction) / np.linalg.norm(direction)
    place = grid([int(abs(a) * length / 2) + radius + 2 for a in along])
    depth = np.tensordot(along, place, 1)
    across = np.sqrt(np.maximum((place**2).sum(axis=0) - depth**2, 0))
    return ((abs(depth) <= length / 2) & (across <= radius)).astype(np.int32)


def tube(bend, radius, opening=2.0):
    """An arc of a torus that leaves out ``opening`` radians, lying aslant."""
    z, y, x = grid([bend + radius + 2] * 3)
    aslant, height = (z + y) / np.sqrt(2), (z - y) / np.sqrt(2)
    inside = (np.hypot(aslant, x) - bend) ** 2 + height**2 <= radius**2
    return (inside & (abs(np.arctan2(aslant, x)) >= opening / 2)).astype(np.int32)


def shell(outer, inner, core):
    """A hollow ball 1 with a ball 2 in the middle that does not touch it."""
    radius = np.sqrt((grid([outer + 2] * 3) ** 2).sum(axis=0))
    return ((radius <= outer) & (radius >= inner)).astype(np.int32) + 2 * (radius <= core)


def in_one_volume(volumes):
    """The objects of several volumes beside each other along x, without contact."""
    depth, height = (max(volume.shape[axis] for volume in volumes) for axis in (0, 1))
    parts, num_objects = [], 0
    for volume in volumes:
        padding = ((0, depth - volume.shape[0]), (0, height - volume.shape[1]), (1, 0))
        parts.append(np.pad(np.where(volume, volume + num_objects, 0), padding))
        num_objects += volume.max()
    return np.concatenate(parts, axis=2).astype(np.int32)


def degrees_between(first, second):
    """Angle between the vectors (3, Z, Y, X) of two fields; 90 where one of them is zero."""
    length = np.linalg.norm(first, axis=0) * np.linalg.norm(second, axis=0)
    cosine = (first * second).sum(axis=0) / np.maximum(length, 1e-9)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def round_trip(labels, *, field="geodesic", decoding=None, spacing=None):
    """The objects decoded from the labels' own field."""
    flow = labels_to_flow(labels, field=field, spacing=spacing)
    foreground = (labels > 0).astype(np.float32)
    return decode_flow(foreground, flow, decoding, field=field, spacing=spacing).labels
