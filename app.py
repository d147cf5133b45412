"""Home: which data set and run are in use, whether they are healthy, and where to go next."""

import streamlit as st

if __name__ != "__main__":  # the server imports this file once, and runs it as the first page for every visitor
    from segmentation.ui.server import started

    app = st.App(__file__, lifespan=started)
else:
    from segmentation.ui.home.add_run import add_run, adding_run
    from segmentation.ui.home.adding import add_dataset
    from segmentation.ui.home.cards import dataset_card, health_line, run_card
    from segmentation.ui.home.runs import runs_view, viewing_runs
    from segmentation.ui.home.set_up import set_up, setting_up
    from segmentation.ui.home.way import next_steps, pipeline
    from segmentation.ui.shell.dataset import choose_dataset, choose_folder
    from segmentation.ui.shell.frame import page
    from segmentation.ui.shell.masks import legend
    from segmentation.ui.shell.run import choose_run

    with page("Aerial segmentation", "Is my data right, is my training going well, and where does my model fail?"):
        if setting_up():
            set_up(choose_folder())
            st.stop()
        dataset = choose_dataset()
        if adding_run():
            add_run(dataset)
            st.stop()
        run = choose_run(dataset)
        if viewing_runs():
            runs_view()
            st.stop()

        cards = st.grid(2, min_column_width=380, gap="medium")
        with cards.cell():
            places = dataset_card(dataset)
        with cards.cell():
            run_card(run, dataset)

        if dataset:
            st.subheader("From scene to score", anchor=False)
            legend(dataset.palette)
            pipeline(dataset, run)

        st.subheader("Where to go next", anchor=False)
        next_steps()

        st.subheader("Another data set", anchor=False)
        add_dataset()

        if dataset and places:
            health_line(dataset, *places)  # last, since every scene is read for it
