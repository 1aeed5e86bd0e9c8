"""From an image of any size to a segmentation; knows tasks only by their protocol."""
