"""Decoding uploaded audio safely: nothing here parses audio in the calling process."""

from service.audio.clips import CLIP_S, Clip, ClipBatch, batch_clips, cut_clips
from service.audio.decode import (
    SAMPLE_RATE_HZ,
    ClipStream,
    DecodedAudio,
    PcmStream,
    decode_all,
    probe,
    stream_clips,
)
from service.audio.errors import DecodeError
from service.audio.peaks import PEAK_COUNT, PeakBuilder
from service.audio.results import AudioProbe, AudioTags, DecodeLimits, DecodeSummary

__all__ = [
    "CLIP_S",
    "PEAK_COUNT",
    "SAMPLE_RATE_HZ",
    "AudioProbe",
    "AudioTags",
    "Clip",
    "ClipBatch",
    "ClipStream",
    "DecodeError",
    "DecodeLimits",
    "DecodeSummary",
    "DecodedAudio",
    "PcmStream",
    "PeakBuilder",
    "batch_clips",
    "cut_clips",
    "decode_all",
    "probe",
    "stream_clips",
]
