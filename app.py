"""Home: which data set and run are in use, whether they are healthy, and where to go next."""

import streamlit as st

if __name__ != "__main__":  # the server imports this file once, and runs it as the first page for every visitor
    from segmentation.ui.server import started

    app = st.App(__file__, lifespan=started)
else:
    from segmentation.ui import home
    from segmentation.ui.shell.dataset import choose_dataset
    from segmentation.ui.shell.frame import page
    from segmentation.ui.shell.masks import legend
    from segmentation.ui.shell.run import choose_run

    with page("Aerial segmentation", "Is my data right, is my training going well, and where does my model fail?"):
        dataset = choose_dataset()
        run = choose_run(dataset)

        cards = st.grid(2, min_column_width=380, gap="medium")
        with cards.cell():
            places = home.dataset_card(dataset)
        with cards.cell():
            home.run_card(run, dataset)

        if dataset:
            st.subheader("From scene to score", anchor=False)
            legend(dataset.palette)
            home.pipeline(dataset, run)

        st.subheader("Where to go next", anchor=False)
        home.next_steps()

        st.subheader("Another data set", anchor=False)
        home.add_dataset()

        if dataset and places:
            home.health_line(dataset, *places)  # last, since every scene is read for it
