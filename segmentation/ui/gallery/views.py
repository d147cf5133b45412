"""The gallery's views, by name."""

from collections.abc import Callable

from segmentation.ui.gallery.cards import SIMILAR
from segmentation.ui.gallery.causes import causes
from segmentation.ui.gallery.confusions import confusions
from segmentation.ui.gallery.evaluated import EvaluatedRun
from segmentation.ui.gallery.kinds import kinds
from segmentation.ui.gallery.label_audit import label_audit
from segmentation.ui.gallery.leak import leak
from segmentation.ui.gallery.objects import objects
from segmentation.ui.gallery.ranking import ranking
from segmentation.ui.gallery.similar import similar
from segmentation.ui.gallery.slices import slices
from segmentation.ui.gallery.suspects import suspects
from segmentation.ui.gallery.thresholds import thresholds
from segmentation.ui.gallery.two_runs import two_runs

VIEWS: dict[str, Callable[[EvaluatedRun], None]] = {
    "Ranking": ranking,
    "Confusions": confusions,
    "Kinds of error": kinds,
    "Objects": objects,
    "Causes": causes,
    "Slices": slices,
    SIMILAR: similar,
    "Suspect labels": suspects,
    "Label audit": label_audit,
    "Thresholds": thresholds,
    "Two runs": two_runs,
    "Leak": leak,
}
"""The gallery's views by the name in its switch."""
