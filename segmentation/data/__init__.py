"""From files to patches: palette, scenes, patches, splits, health, the demo set and the download (no TensorFlow)."""
