"""Models from elsewhere: opened without running code of theirs, and applied as their adapter says."""
