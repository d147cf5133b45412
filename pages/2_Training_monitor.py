"""Training monitor: the curves of any training log, of a run of ours, a path, or an upload."""

import streamlit as st

from segmentation.ui import monitor
from segmentation.ui.layout import choose_dataset, choose_run, page

with page("Training monitor", "Is my training going well? Training and validation curves of any training log."):
    dataset = choose_dataset()
    run = choose_run(dataset)
    logs = monitor.choose_logs(run)
    monitor.train_form(dataset)
    if not logs:
        st.info("Nothing to draw yet: choose a run, or give a training log.", icon=":material/show_chart:")
        st.stop()
    monitor.controls(logs)
    monitor.curves(logs, monitor.choose_drawing())
    monitor.details(logs)
