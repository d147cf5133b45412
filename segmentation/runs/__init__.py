"""The run folder, and the reader of Keras' CSVLogger files (no TensorFlow)."""
