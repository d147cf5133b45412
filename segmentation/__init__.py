"""Semantic segmentation of aerial imagery: data, model, training, evaluation, runs and the dashboard's parts."""

__version__ = "0.1.0"
