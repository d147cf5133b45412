"""The training monitor: curves of any training log, the state of a run, and a form that starts one."""
