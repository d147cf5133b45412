"""The dataset browser: scenes, patches and tiles with their masks, splits, class shares, and the health report."""
