"""The run folder, and the reader of training logs (no TensorFlow)."""
