"""Networks, losses and metrics in Keras."""
