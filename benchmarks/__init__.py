"""Measurements on this machine; each prints a table. They want it to themselves."""
