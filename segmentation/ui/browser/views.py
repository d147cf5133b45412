"""The browser's views, by name."""

from collections.abc import Callable

from segmentation.data.scenes import Dataset
from segmentation.ui.browser.galleries import show_patches, show_scenes
from segmentation.ui.browser.health import show_health
from segmentation.ui.browser.one_scene import show_one_scene, show_tile
from segmentation.ui.browser.statistics import show_shares, show_split

VIEWS: dict[str, Callable[[Dataset], None]] = {
    "Scenes": show_scenes,
    "Patches": show_patches,
    "One scene": show_one_scene,
    "One tile": show_tile,
    "Class shares": show_shares,
    "Split": show_split,
    "Health": show_health,
}
"""The browser's views by the name in its switch."""
