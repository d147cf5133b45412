"""A run's report: one HTML file that opens anywhere, without a network, and prints well (no Streamlit)."""
