"""What pages load, remembered for all sessions: nothing is read or predicted twice, and memory stays bounded.

The arrays are shared, so they are made read-only. Caches are keyed by stamps (paths, sizes, times) or by the SHA-256 of
the pixels, never by a sample of them.
"""
