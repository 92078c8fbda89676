"""A minimal FLAC writer for silence: hours of sound in a file of kilobytes, in a second."""

from __future__ import annotations

import struct
from pathlib import Path

RATE_HZ = 44_100
CHANNELS = 2
BLOCK = 32_768
_BITS = 16


def _crc_table(polynomial: int, width: int) -> list[int]:
    top, mask = 1 << (width - 1), (1 << width) - 1
    table = []
    for byte in range(256):
        value = byte << (width - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


_CRC8 = _crc_table(0x07, 8)
_CRC16 = _crc_table(0x8005, 16)


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _CRC8[value ^ byte]
    return value


def _crc16(data: bytes) -> int:
    value = 0
    for byte in data:
        value = ((value << 8) & 0xFFFF) ^ _CRC16[(value >> 8) ^ byte]
    return value


def _frame(number: int, samples: int) -> bytes:
    # Fixed blocks, 16-bit block size behind the number, rate from STREAMINFO, 2 channels, 16 bits.
    header = b"\xff\xf8\x70\x18" + chr(number).encode("utf-8", "surrogatepass")
    header += struct.pack(">H", samples - 1)
    header += bytes([_crc8(header)])
    # One constant subframe of value 0 a channel.
    frame = header + b"\x00\x00\x00" * CHANNELS
    return frame + struct.pack(">H", _crc16(frame))


def write_silent_flac(path: Path, duration_s: float) -> Path:
    """Write stereo silence of 16 bits at 44.1 kHz."""
    total = round(duration_s * RATE_HZ)
    packed = (RATE_HZ << 44) | ((CHANNELS - 1) << 41) | ((_BITS - 1) << 36) | total
    info = struct.pack(">HH", BLOCK, BLOCK) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    with path.open("wb") as file:
        file.write(b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info)
        for number in range(-(-total // BLOCK)):
            file.write(_frame(number, min(BLOCK, total - number * BLOCK)))
    return path
