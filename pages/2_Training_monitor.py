"""Training monitor: the curves of any training log, of a run of ours, a path, or an upload."""

import streamlit as st

from segmentation.ui.monitor.controls import controls
from segmentation.ui.monitor.curves import choose_drawing, curves
from segmentation.ui.monitor.details import details
from segmentation.ui.monitor.logs import choose_logs
from segmentation.ui.monitor.train_form import train_form
from segmentation.ui.shell.dataset import choose_dataset
from segmentation.ui.shell.frame import page
from segmentation.ui.shell.run import choose_run

with page("Training monitor", "Is my training going well? Training and validation curves of any training log."):
    dataset = choose_dataset()
    run = choose_run(dataset)
    logs = choose_logs(run)
    train_form(dataset)
    if not logs:
        st.info("Nothing to draw yet: choose a run, or give a training log.", icon=":material/show_chart:")
        st.stop()
    controls(logs, dataset)
    curves(logs, choose_drawing())
    details(logs)
