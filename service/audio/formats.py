"""Which containers and codecs we open, and how a file's first bytes tell its container.

The allow-list keeps FFmpeg's hundreds of other parsers out of reach. Playlist demuxers (hls,
concat, dash, ...) are not on it, so no file can make the decoder open another one.
"""

from __future__ import annotations

# FFmpeg's demuxer name -> the name that we show.
FORMAT_NAMES = {
    "aac": "aac",
    "aiff": "aiff",
    "asf": "asf",
    "flac": "flac",
    "matroska": "matroska",
    "webm": "matroska",
    "mov": "mp4",
    "mp3": "mp3",
    "ogg": "ogg",
    "w64": "wav",
    "wav": "wav",
}

_PCM_WIDE = ("s16", "s24", "s32", "f32", "f64")
_PCM = (
    "s8",
    "u8",
    "alaw",
    "mulaw",
    *(f"{kind}{end}" for kind in _PCM_WIDE for end in ("le", "be")),
)

# FFmpeg's decoder name -> the name that we show.
CODEC_NAMES = {
    "aac": "aac",
    "adpcm_ima_wav": "adpcm",
    "adpcm_ms": "adpcm",
    "alac": "alac",
    "flac": "flac",
    "mp2": "mp2",
    "mp2float": "mp2",
    "mp3": "mp3",
    "mp3float": "mp3",
    "opus": "opus",
    "vorbis": "vorbis",
    "wmapro": "wma",
    "wmav1": "wma",
    "wmav2": "wma",
    **{f"pcm_{name}": "pcm" for name in _PCM},
}

MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 768_000
MAX_CHANNELS = 32

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (4, b"ftyp", "mp4"),
    (8, b"WAVE", "wav"),
    (0, b"riff\x2e\x91\xcf\x11", "wav"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
)

_ID3_HEADER_BYTES = 10


def sniff_format(head: bytes) -> str | None:
    """The container that the first bytes announce, or None.

    MPEG audio frames have no signature worth trusting (11 set bits), so an mp3 without an ID3 tag
    gives None. Used only to tell damaged audio from something that never was audio.
    """
    for offset, magic, name in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def id3_size_bytes(head: bytes) -> int:
    """Length of a leading ID3v2 tag with its header, 0 where there is none."""
    if len(head) < _ID3_HEADER_BYTES or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:_ID3_HEADER_BYTES]:
        size = (size << 7) | (byte & 0x7F)
    return _ID3_HEADER_BYTES + size
