"""The way from another view to one scene."""

import streamlit as st


def open_scene(name: str) -> None:
    """Turn to a scene; a callback, since widgets' values can only be set before they are drawn."""
    st.session_state["scene"] = name
    st.session_state["view"] = "One scene"
