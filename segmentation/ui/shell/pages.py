"""The pages, and how one is named in a link."""

HOME, BROWSER, MONITOR = "app.py", "pages/1_Dataset_browser.py", "pages/2_Training_monitor.py"

EXPLORER, GALLERY = "pages/3_Prediction_explorer.py", "pages/4_Worst-case_gallery.py"

PAGES = (
    (HOME, "Home", ":material/home:"),
    (BROWSER, "Dataset browser", ":material/grid_view:"),
    (MONITOR, "Training monitor", ":material/show_chart:"),
    (EXPLORER, "Prediction explorer", ":material/compare:"),
    (GALLERY, "Worst-case gallery", ":material/crisis_alert:"),
)
"""Each page's file, name and icon, in the sidebar's order."""

DATASET, WHOLE = "Data set", "Whole scene"
"""What the explorer shows first: the data set, and of that a whole scene."""


def looking_at(scene: str, patch: str = WHOLE) -> dict[str, str]:
    """Return what the explorer's address says of a scene or one of its patches."""
    return {"scene": scene} | ({} if patch == WHOLE else {"patch": patch})
