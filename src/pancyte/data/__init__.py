"""From folders and manifests to samples; knows no task."""
