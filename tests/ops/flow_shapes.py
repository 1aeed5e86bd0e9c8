"""Drawn objects that are hard for a field: long, thin, bent, ring-shaped, large."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, label

from pancyte.ops.flow import decode_flow, labels_to_flow


def bar(height, width, margin=5):
    """A straight bar."""
    labels = np.zeros((height + 2 * margin, width + 2 * margin), np.int32)
    labels[margin : margin + height, margin : margin + width] = 1
    return labels


def turned_bar(length, width, degrees):
    """A bar at an angle."""
    side = length + 12
    yy, xx = np.mgrid[:side, :side] - side / 2
    along = xx * np.cos(np.radians(degrees)) + yy * np.sin(np.radians(degrees))
    across = yy * np.cos(np.radians(degrees)) - xx * np.sin(np.radians(degrees))
    return ((abs(along) <= length / 2) & (abs(across) <= width / 2)).astype(np.int32)


def ring(outer, inner, opening=0.0):
    """A ring, or an arc that leaves out ``opening`` radians."""
    side = 2 * outer + 9
    yy, xx = np.mgrid[:side, :side] - side // 2
    radius, angle = np.hypot(yy, xx), np.arctan2(yy, xx)
    return ((radius <= outer) & (radius >= inner) & (abs(angle) >= opening / 2)).astype(np.int32)


def spiral(turns, pitch=12.0, width=6.0):
    """An Archimedean spiral."""
    side = int(2 * pitch * (turns + 1)) + 8
    yy, xx = np.mgrid[:side, :side] - side // 2
    radius, angle = np.hypot(yy, xx), np.arctan2(yy, xx) % (2 * np.pi)
    arm = np.round((radius - pitch * angle / (2 * np.pi)) / pitch)
    middle = pitch * (arm + angle / (2 * np.pi))
    inside = (abs(radius - middle) <= width / 2) & (arm >= 0) & (arm < turns) & (middle > pitch / 2)
    return inside.astype(np.int32)


def disc(radius, side=None):
    """A disc in the middle."""
    side = 2 * int(radius) + 9 if side is None else side
    yy, xx = np.mgrid[:side, :side] - side // 2
    return (np.hypot(yy, xx) <= radius).astype(np.int32)


def ellipse(long, short, degrees):
    """An ellipse of the given semi-axes at an angle."""
    side = 2 * int(long) + 9
    yy, xx = np.mgrid[:side, :side] - side // 2
    along = xx * np.cos(np.radians(degrees)) + yy * np.sin(np.radians(degrees))
    across = yy * np.cos(np.radians(degrees)) - xx * np.sin(np.radians(degrees))
    return ((along / long) ** 2 + (across / short) ** 2 <= 1).astype(np.int32)


def blobs(seed, size, side=96):
    """Connected blobs with holes and bays, by smoothing noise."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), size)
    return label(noise > 0)[0].astype(np.int32)


def apart(labels):
    """The objects without the pixels that touch another object."""
    padded = np.pad(labels, 1)
    height, width = labels.shape
    kept = np.ones(labels.shape, bool)
    for down in range(3):
        for right in range(3):
            other = padded[down : down + height, right : right + width]
            kept &= (other == 0) | (other == labels)
    return np.where(kept, labels, 0)


def degrees_between(first, second):
    """Angle between the vectors (2, Y, X) of two fields; 90 where one of them is zero."""
    length = np.maximum(np.hypot(*first) * np.hypot(*second), 1e-9)
    return np.degrees(np.arccos(np.clip((first * second).sum(0) / length, -1, 1)))


def iou_per_object(truth, found):
    """Best IoU of each object 1..n of truth with one of found."""
    pairs = np.zeros((truth.max(initial=0) + 1, found.max(initial=0) + 1))
    np.add.at(pairs, (truth.ravel(), found.ravel()), 1)
    union = pairs.sum(1, keepdims=True) + pairs.sum(0, keepdims=True) - pairs
    ratio = pairs / np.maximum(union, 1)
    return ratio[1:, 1:].max(axis=1, initial=0)


def round_trip(labels, *, field="geodesic", decoding=None):
    """The objects decoded from the labels' own field."""
    flow = labels_to_flow(labels, field=field)
    return decode_flow((labels > 0).astype(np.float32), flow, decoding, field=field).labels


def euler_tracks(flow, starts, sinks, object_of_start, components):
    """Plain steps of linear reading: the ends, which tracks ever left their object, their lengths.

    A second, slow implementation beside the one that is tested: no joining, no halving of steps.
    """
    last = np.array(components.shape)[:, None] - 1
    padded = np.pad(flow.astype(float), ((0, 0), *[(0, 1)] * components.ndim))
    places, left = starts.astype(float), np.zeros(starts.shape[1], bool)
    lengths, moving = np.zeros(starts.shape[1]), np.arange(starts.shape[1])
    for _ in range(4 * int((components > 0).sum()) + 100):
        place = places[:, moving]
        low = np.floor(place).astype(int)
        part = place - low
        step = np.zeros_like(place)
        for corner in np.ndindex(*[2] * components.ndim):
            side = np.array(corner)[:, None]
            weight = abs(1 - side - part).prod(axis=0)
            step += weight * padded[(slice(None), *(low + side))]
        place = np.clip(place + step, 0, last)
        places[:, moving] = place
        lengths[moving] += np.linalg.norm(step, axis=0)
        # Half way between two pixels, the track is at both.
        near, also = (
            np.floor(place + 0.5 - 1e-6).astype(int),
            np.floor(place + 0.5 + 1e-6).astype(int),
        )
        own = object_of_start[moving]
        left[moving] |= (components[tuple(near)] != own) & (components[tuple(also)] != own)
        there = np.linalg.norm(place - sinks[:, moving], axis=0) < 0.3
        moving = moving[~there & (np.linalg.norm(step, axis=0) > 1e-4)]
        if not len(moving):
            break
    return places, left, lengths
