"""The part of a split that is shown: the same choice, by the same name in the address, wherever there is one."""

from streamlit.delta_generator import DeltaGenerator

from segmentation.ui.shell.words import PARTS


def choose_part_name(container: DeltaGenerator, what: str) -> str:
    """Let the user choose one of `PARTS` in a container, and return its name there.

    Args:
        container: Where the choice is drawn, such as the sidebar.
        what: Said of the parts when asked for help.
    """
    return container.segmented_control(
        "Part", list(PARTS), default="Held out", required=True, key="part", bind="query-params", help=what
    )
