"""Training: the configuration, the tf.data pipeline, the callbacks, and fit with resume."""
