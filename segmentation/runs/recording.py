"""Predictions from anywhere as a run: recorded scene by scene, scored at once, and read again (no TensorFlow)."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from PIL import Image

from segmentation.data.images import decode, read_size
from segmentation.data.labels import shows_a_class
from segmentation.data.locate import runs_folder
from segmentation.data.palette import VOID
from segmentation.data.patches import (
    PATCH_SIZE,
    cut,
    grid,
    image_statistics,
    patch_table,
    patch_tables,
    smaller_than_a_patch,
)
from segmentation.data.protocols import TEST, Protocol, apply_void_policy, assign_parts, held_out
from segmentation.data.scenes import Dataset, Scene, read_scene
from segmentation.errors import ConfigurationError, ImageFileError, RunError
from segmentation.files import replacing, scratch_folder, write_json, writing
from segmentation.runs.predicted_pixels import Pixels, notes_on, read_pixels
from segmentation.runs.records import DatasetRecord, ProbabilityCounts, RunConfig
from segmentation.runs.run import CONFIG, PREDICTIONS, Run, check_run_name, write_scores, write_status
from segmentation.runs.scoring import PatchScores, patch_rows, score_patches, summarize, without_unpredicted
from segmentation.thresholds import STEPS, count_probabilities


class _Recorded(NamedTuple):
    """What is kept in memory of a scene that was recorded: a few kilobytes per patch."""

    rows: pd.DataFrame
    light: tuple[np.ndarray, np.ndarray]
    scored: PatchScores
    unlabelled: bool
    resized: bool
    notes: tuple[str, ...]
    test: np.ndarray
    counts: "_Counts | None"


class _Counts(NamedTuple):
    """Pixels of the held-out patches by their probability of each class, without the many bins that hold none."""

    places: np.ndarray
    pixels: np.ndarray


class Recording:
    """A run of predictions under way, of a notebook or any framework's training loop.

    ::

        run = segmentation.Run.create("mine", dataset)
        run.record("tile-1/image_part_001", prediction)
        run.finish()

    Nothing of it is in the folder of runs before `finish`. In a ``with`` block what was not finished is removed at its
    end, otherwise when the process ends.

    Args:
        name: Of the run.
        dataset: The scenes that are predicted; its classes are the run's.
        runs: Folder that holds the runs; by default this machine's.
        protocol: What is scored: ``all``, or the part that a protocol holds out; the rest then counts as trained on.
        held_out_tile: The tile to score under the tile protocol.
        patch_size: Side of the patches that are scored, in pixels.

    Raises:
        RunError: If the name cannot be a run's or is taken.
        ConfigurationError: If the protocol does not suit the data set.
        StorageError: If nothing can be written there.
    """

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        runs: Path | str | None = None,
        protocol: Protocol = "all",
        held_out_tile: str | None = None,
        patch_size: int = PATCH_SIZE,
    ) -> None:
        check_run_name(name)
        if patch_size < 1:
            raise ConfigurationError(f"A patch has at least one pixel a side. Received: {patch_size}")
        self._target = Path(runs or runs_folder()) / name
        if self._target.exists():
            raise RunError(f"There is a run {name} already: choose another name.")
        self._dataset, self._protocol, self._tile, self._size = dataset, protocol, held_out_tile, patch_size
        self._scenes = {scene.name: scene for scene in dataset.scenes}
        if protocol not in ("patch", "article"):  # what does not suit is said before anything is recorded
            places = [(scene.tile, scene.name, scene.split) for scene in self._scenes.values()]
            table = pd.DataFrame(places, columns=["tile", "scene", "split"])
            assign_parts(table, protocol, held_out_tile, two_parts=True)
        self._stretch = dataset.stretch_for(None)
        self._recorded: dict[str, _Recorded] = {}
        self._left_out: dict[str, str] = {}
        self._notes: list[str] = []
        self._unfinished = ExitStack()
        with writing(self._target):
            self._folder = self._unfinished.enter_context(scratch_folder(self._target.parent)) / name
            self._folder.mkdir()

    @property
    def scenes(self) -> tuple[str, ...]:
        """The names of the data set's scenes."""
        return tuple(self._scenes)

    @property
    def recorded(self) -> tuple[str, ...]:
        """The names of those recorded so far."""
        return tuple(self._recorded)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unfinished.close()

    def record(self, scene: Scene | str, prediction: Any) -> None:  # noqa: ANN401 (whatever NumPy makes an array of)
        """Score the prediction of one scene and keep its classes. A scene recorded twice keeps the second.

        Args:
            scene: A scene of the data set, or its name.
            prediction: (height, width) class indices of whole numbers, 255 where none is predicted; or
                (height, width, classes) or (classes, height, width) floating-point numbers, the highest of which tells
                the class. Where they sum to 1 at each pixel they are probabilities, and confidence is scored, too.

        Raises:
            RunError: If there is no such scene, or the prediction does not fit it.
            ImageFileError: If the scene itself cannot be read.
            StorageError: If it cannot be kept.
        """
        name = scene if isinstance(scene, str) else scene.name
        if name not in self._scenes:
            raise RunError(f"{name} is no scene of {self._dataset.root.name}: record the scenes that it has.")
        image, mask = read_scene(self._scenes[name], self._dataset.palette, self._stretch)
        pixels = read_pixels(prediction, mask.shape, len(self._dataset.palette), name)
        truth = apply_void_policy(mask, self._protocol, self._dataset.palette)
        rows, columns = grid(len(mask), mask.shape[1], self._size)
        test = self._held_out.get(name, np.zeros(0, bool))
        if len(test) != rows * columns:  # its file's header says another size
            test = np.zeros(rows * columns, bool)
        classes, parts, counts = self._score(truth, pixels, test)
        scored = PatchScores.joined(parts)
        with replacing(kept_path(self._folder, name)) as temporary:
            Image.fromarray(classes).save(temporary, compress_level=6)
        self._recorded[name] = _Recorded(
            patch_table(name, self._scenes[name].tile, rows, columns),
            image_statistics(cut(image, self._size)),
            scored,
            not shows_a_class(mask),
            self._scenes[name].mask_size() != mask.shape,
            tuple(notes_on(name, classes, pixels)),
            test,
            counts,
        )

    @cached_property
    def _held_out(self) -> dict[str, np.ndarray]:
        """Which patches of each scene are held out, (patches,) bool, going by what the images' headers say."""
        grids = []
        for name, scene in self._scenes.items():
            with suppress(ImageFileError):  # which gives no patch later, either
                grids.append((name, scene.tile, *grid(*read_size(scene.image), self._size)))
        table = patch_tables(grids)
        table["split"] = [self._scenes[name].split for name in table["scene"]]
        try:
            test = held_out(table, self._protocol, self._tile)
        except ConfigurationError:  # `finish` says so, if it is still so then
            return {}
        return {str(name): test[rows.index] for name, rows in table.groupby("scene", sort=False)}

    def _score(
        self, truth: np.ndarray, pixels: Pixels, test: np.ndarray
    ) -> tuple[np.ndarray, list[PatchScores], _Counts | None]:
        """Return a scene's class indices as predicted, the scores of each row of patches, and its probabilities.

        Args:
            truth: (height, width) uint8 class indices, void 255.
            pixels: What is predicted.
            test: (patches,) bool, true where held out.

        Returns:
            The indices are (height, width) uint8; probabilities are counted of held-out patches, if they are known.
        """
        classes, size, count = np.empty(truth.shape, np.uint8), self._size, len(self._dataset.palette)
        counts, columns = np.zeros((count, 2, STEPS + 1), np.int64), truth.shape[1] // self._size
        none = np.empty((0, size, size), np.uint8)
        parts = [score_patches(none, none, count)]
        for top in range(0, len(truth), size):
            rows = slice(top, min(top + size, len(truth)))
            classes[rows], probabilities = pixels.read(rows)
            true, seen = (cut(of, size) for of in without_unpredicted(truth[rows], classes[rows]))
            if probabilities is None:
                parts.append(score_patches(true, seen, count))
            else:
                of_patches = cut(probabilities, size)
                held = test[top // size * columns :][: len(true)]
                counts += count_probabilities(true[held], of_patches[held])
                parts.append(score_patches(true, seen, count, of_patches, of_patches.max(-1)))
        places = np.flatnonzero(counts)
        return classes, parts, _Counts(places, counts.flat[places]) if pixels.are_probabilities else None

    def leave_out(self, scene: str, why: str) -> None:
        """Say why a scene is not recorded, for `finish` to keep."""
        self._left_out[scene] = why

    def note(self, sentence: str) -> None:
        """Say what else the user should know, for `finish` to keep."""
        self._notes.append(sentence)

    def finish(self) -> Run:
        """Score what was recorded, move the run into the folder of runs, and return it.

        Scenes that were not recorded are left out of the scores, named in metrics.json and counted on the pages.

        Raises:
            RunError: If nothing was recorded that can be scored, or there is a run of this name by now.
            StorageError: If it cannot be written.
        """
        palette = self._dataset.palette
        patches, skipped = self._patches()
        recorded = [self._recorded[name] for name in self._scenes if name in self._recorded]
        if not any(len(one.rows) for one in recorded):
            raise RunError(
                f"No scene of {self._dataset.root.name} was recorded that gives a patch of {self._size} × {self._size} "
                "pixels: record others, or choose a smaller patch size."
            )
        # Where they were validated is not known, unless the data set says it.
        parts = assign_parts(patches, self._protocol, self._tile, two_parts=True)
        parts = parts[patches["scene"].isin(self._recorded).to_numpy()]
        test = parts == TEST
        if not test.any():
            raise RunError(f"No patch that protocol {self._protocol} holds out was predicted: predict all scenes.")
        scored = PatchScores.joined(one.scored for one in recorded)
        light = tuple(np.concatenate(of) for of in zip(*(one.light for one in recorded), strict=True))
        rows = pd.concat([one.rows for one in recorded], ignore_index=True)
        notes = [*self._notes, *(note for one in recorded for note in one.notes)]
        metrics = replace(
            summarize(rows, scored, test, palette, self._protocol),
            probabilities=self._probabilities(recorded, test),
            findings=notes or None,
            dataset=DatasetRecord(
                name=self._dataset.root.resolve().name,
                fingerprint=self._dataset.fingerprint(),
                scenes=len(self._scenes),
                skipped=skipped,
                unlabelled=sum(one.unlabelled for one in recorded),
                resized=sum(one.resized for one in recorded),
                patches=len(test),
                held_out=int(test.sum()),
            ),
        )
        configuration = {"patch_size": self._size, "protocol": self._protocol, "held_out_tile": self._tile}
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        config = RunConfig(
            configuration=configuration, dataset=DatasetRecord(), palette=palette, created=created
        ).to_dict()
        write_json(self._folder / CONFIG, config)
        write_scores(self._folder, metrics, patch_rows(rows, (light[0], light[1]), parts, scored, palette))
        write_status(self._folder, "finished")
        if self._target.exists():
            raise RunError(f"There is a run {self._target.name} already: choose another name.")
        with writing(self._target):
            self._folder.rename(self._target)
        self._unfinished.close()
        return Run(self._target)

    def _probabilities(self, recorded: Sequence[_Recorded], test: np.ndarray) -> dict[str, ProbabilityCounts] | None:
        """Return the held-out pixels by probability; None if it is not known of all, or others are held out by now."""
        names = self._dataset.palette.names
        total = np.zeros((len(names), 2, STEPS + 1), np.int64)
        for one in recorded:
            if one.counts is None:
                return None
            total.flat[one.counts.places] += one.counts.pixels
        if not np.array_equal(np.concatenate([one.test for one in recorded]), test):
            return None
        return {"test": ProbabilityCounts.of(total, names)}

    def _patches(self) -> tuple[pd.DataFrame, list[str]]:
        """Return the rows of all patches that a model would be evaluated on, and why scenes are left out.

        What a protocol holds out depends on all of them, whether they were recorded or not.
        """
        tables, skipped = [], []
        for name, scene in self._scenes.items():
            if name in self._recorded:
                rows = self._recorded[name].rows
                if rows.empty:
                    height, width = scene.mask_size()
                    skipped.append(f"{name}: {smaller_than_a_patch(height, width, self._size)}")
            else:
                skipped.append(f"{name}: {self._left_out.get(name, 'there is no prediction of it')}")
                try:
                    _, mask = read_scene(scene, self._dataset.palette, self._stretch)
                except ImageFileError:
                    continue
                rows = patch_table(name, scene.tile, *grid(len(mask), mask.shape[1], self._size))
            tables.append(rows.assign(split=scene.split))
        return pd.concat(tables, ignore_index=True), skipped


def kept_path(run: Path, scene: str) -> Path:
    """Return where a run folder keeps the predicted classes of a scene."""
    return run / PREDICTIONS / f"{scene}.png"


def read_recorded(run: Run, scene: str, size: tuple[int, int]) -> np.ndarray:
    """Return what a run of predictions predicts of a scene, (height, width) uint8 class indices, 255 for none.

    Args:
        run: A run with `Run.predictions`.
        scene: The scene's name.
        size: (height, width) of its image.

    Raises:
        ImageFileError: If there is no prediction of it, or none that fits.
    """
    path = kept_path(run.folder, scene)
    known = run.palette is not None and path.resolve().is_relative_to((run.folder / PREDICTIONS).resolve())
    if not known or not path.is_file():
        raise ImageFileError(f"{run.name} has no prediction of {scene}: choose another scene, or a run with a model.")
    try:
        image = decode(path, path.name, orient=False)
    except ImageFileError as error:
        raise ImageFileError(f"The prediction of {scene} in {run.name} cannot be read: add the run again.") from error
    classes = np.asarray(image)
    if image.mode != "L" or (classes[classes != VOID] >= len(run.palette or ())).any():
        raise ImageFileError(f"The prediction of {scene} in {run.name} holds no class indices: add the run again.")
    if classes.shape != size:
        raise ImageFileError(
            f"The prediction of {scene} in {run.name} has {classes.shape[1]} × {classes.shape[0]} pixels, its image "
            f"{size[1]} × {size[0]}: one of them has changed, so add the run again."
        )
    return classes
