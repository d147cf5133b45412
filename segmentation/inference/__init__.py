"""Prediction: load a model once; patches and whole scenes."""
