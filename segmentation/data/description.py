"""What was found in a data set's folder, in plain words and as numbers."""

from collections import Counter
from collections.abc import Iterator

from segmentation.data.health import Health
from segmentation.data.palette import VOID_NAME
from segmentation.data.scenes import Dataset

LISTED = 12
"""Classes that are named in one line."""


def described(dataset: Dataset) -> Iterator[str]:
    """Yield what was found in a folder, a line each."""
    yield f"Found: {len(dataset.scenes):,} scenes in {dataset.root}"
    yield f"  pairs     {dataset.layout}"
    if dataset.splits:
        yield f"  splits    {', '.join(f'{name} {count:,}' for name, count in dataset.splits.items())}"
    names = ", ".join(dataset.palette.names[:LISTED]) + (" …" if len(dataset.palette) > LISTED else "")
    yield f"  masks     {dataset.encoding}"
    yield f"  classes   {names}{' (nothing names them)' if dataset.guessed else ''}"
    stretch = dataset.stretch
    if stretch:
        limits = ", ".join(f"{low:,.6g}–{high:,.6g}" for low, high in zip(stretch.low, stretch.high, strict=True))
        yield f"  stretch   {limits} in each band become 0–255, the same in all scenes"
    if dataset.unpaired:
        yield f"  unpaired  {len(dataset.unpaired):,} images or masks have no partner; the health report names them"
    for remark in dataset.remarks:
        yield f"  note      {remark}"


def summarized(dataset: Dataset, health: Health) -> dict:
    """Return scenes, pixels by class, void, splits and what was skipped, ready for JSON; of readable scenes only."""
    encoding, pixels = dataset.scenes[0].encoding, health.scenes[[*dataset.palette.names, VOID_NAME]].sum()
    classes = []
    for index, name in enumerate(dataset.palette.names):
        key = encoding.keys_of(index, dataset.palette)[0]
        said = {"color": f"#{bytes(key).hex()}"} if isinstance(key, tuple) else {"value": key}
        classes.append({"name": name, **said, "pixels": int(pixels[name])})
    readable = set(health.scenes["scene"])
    splits = Counter(scene.split for scene in dataset.scenes if scene.split and scene.name in readable)
    unread = health.findings[health.findings["kind"].isin(["unreadable", "unpaired"])]
    skipped = [f"{finding.scene or finding.file}: {finding.detail}" for finding in unread.itertuples()]
    void = int(pixels[VOID_NAME])
    return {"scenes": len(readable), "classes": classes, "void": void, "splits": dict(splits), "skipped": skipped}
