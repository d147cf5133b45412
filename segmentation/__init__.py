"""Semantic segmentation of aerial imagery: data, model, training, evaluation, runs and the dashboard's parts."""

import os

# TensorFlow's remarks on this machine's processor say nothing to a user; its warnings and errors stay.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
