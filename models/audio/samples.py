"""What audio must be before it is embedded, and where a track is cut; no torch here.

Legend: T samples.
"""

from dataclasses import dataclass

from models.errors import AudioTooShortError

# The smallest mel power that is told apart from silence: -100 dB.
AMPLITUDE_FLOOR = 1e-10


@dataclass(frozen=True)
class Window:
    """Samples [start, stop) of a track, followed by its first `wrapped` samples."""

    start: int
    stop: int
    wrapped: int


def check_sample_count(samples: int, min_samples: int) -> None:
    """Raise AudioTooShortError for audio that is empty or shorter than `min_samples`."""
    if samples == 0:
        raise AudioTooShortError("audio is empty")
    if samples < min_samples:
        raise AudioTooShortError(f"audio of {samples} samples is too short: {min_samples} needed")


def plan_windows(samples: int, window_samples: int) -> list[Window]:
    """The consecutive windows of a track of `samples` samples, the last one completed.

    As published, a last window that is too short is completed with the start of the track, not
    with silence; a track shorter than half a window becomes twice its own length, no more.
    Raises AudioTooShortError for an empty track.
    """
    check_sample_count(samples, 1)
    starts = range(0, samples, window_samples)
    return [_complete(start, samples, window_samples) for start in starts]


def _complete(start: int, samples: int, window_samples: int) -> Window:
    stop = min(start + window_samples, samples)
    return Window(start, stop, wrapped=min(window_samples - (stop - start), samples))
