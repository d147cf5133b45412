"""Scores: one confusion matrix is the source of every one of them."""
