"""Plotly figures: what they show is computed elsewhere, and none imports Streamlit, so that tests look at them."""
