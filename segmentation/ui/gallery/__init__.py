"""The worst-case gallery: a run's patches ranked, its confusions, causes and suspect labels, and a second run."""
