"""Training: the configuration, the pipeline, the callbacks, and fit with resume."""
