"""The decoder process: its limits, its death, its time, and what it leaves behind."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from service.audio import DecodeLimits, PcmStream, stream_clips
from service.audio.errors import DecoderCrashed, DecodeTimeout
from service.audio.protocol import DecodeRequest, FrameKind, read_frame
from tests.service.audio.conftest import AudioWriter

MIB = 1024 * 1024


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's limits")
def test_the_process_runs_alone_limited_and_without_our_environment(
    silent_hour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUQUERY_DATABASE_URL", "postgresql://user:password@host/db")
    limits = DecodeLimits(memory_bytes=400 * MIB, cpu_s=7, open_files=20)
    with PcmStream(silent_hour, limits=limits) as stream:
        pid = stream.decoder_pid
        assert os.getsid(pid) == pid != os.getsid(0)
        expected = {
            resource.RLIMIT_AS: (400 * MIB, 400 * MIB),
            resource.RLIMIT_CPU: (7, 8),
            resource.RLIMIT_FSIZE: (0, 0),
            resource.RLIMIT_CORE: (0, 0),
            resource.RLIMIT_NOFILE: (20, 20),
        }
        assert {kind: resource.prlimit(pid, kind) for kind in expected} == expected
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"password" not in environment
        assert b"LC_ALL=C.UTF-8" in environment


def test_leaving_early_ends_the_process(silent_hour: Path) -> None:
    with PcmStream(silent_hour) as stream:
        next(iter(stream))
        assert is_running(stream.decoder_pid)
    assert not is_running(stream.decoder_pid)
    stream.close()


def test_a_killed_process_is_an_error_not_a_short_track(silent_hour: Path) -> None:
    with PcmStream(silent_hour) as stream:
        blocks = iter(stream)
        next(blocks)
        os.kill(stream.decoder_pid, signal.SIGKILL)
        with pytest.raises(DecoderCrashed) as error:
            list(blocks)
        assert error.value.is_transient
        with pytest.raises(RuntimeError):
            _ = stream.summary


def test_a_process_that_stalls_times_out_and_is_killed(silent_hour: Path) -> None:
    with PcmStream(silent_hour, limits=DecodeLimits(timeout_s=3.0)) as stream:
        blocks = iter(stream)
        next(blocks)
        os.kill(stream.decoder_pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(DecodeTimeout):
            list(blocks)
        assert time.monotonic() - began < 20
    assert not is_running(stream.decoder_pid)


def test_a_slow_consumer_does_not_use_up_the_decoders_time(silent_hour: Path) -> None:
    limits = DecodeLimits(timeout_s=3.0)
    with PcmStream(silent_hour, max_duration_s=5.0, limits=limits) as stream:
        for index, _ in enumerate(stream):
            time.sleep(1.75 if index < 2 else 0)
        assert stream.summary.samples == 120_000


def test_a_process_over_its_cpu_time_is_a_timeout(silent_ten_hours: Path) -> None:
    with (
        PcmStream(silent_ten_hours, limits=DecodeLimits(cpu_s=1)) as stream,
        pytest.raises(DecodeTimeout),
    ):
        for _ in stream:
            pass


def test_the_limits_stop_memory_and_files(tmp_path: Path) -> None:
    code = f"""
from service.audio.decoder_child import limit_process
from service.audio.results import DecodeLimits
limit_process(DecodeLimits(memory_bytes=256 * {MIB}))
try:
    bytearray(512 * {MIB})
except MemoryError:
    print("memory")
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with open({str(tmp_path / "out")!r}, "wb") as file:
        file.write(b"x")
except OSError:
    print("file")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["memory", "file"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("bytearray(1 << 40)", "memory_limit"),
        ("[][0]", "decoder_crashed"),
        ("(_ for _ in ()).throw(errors.CorruptAudio())", "corrupt"),
    ],
)
def test_what_goes_wrong_inside_is_told_as_a_code(failure: str, code: str) -> None:
    request = DecodeRequest("decode", 24_000, 1, DecodeLimits())
    program = (
        "from service.audio import decoder_child, errors\n"
        f"decoder_child.run = lambda request: {failure}\n"
        "decoder_child.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, request.to_json()], capture_output=True, check=False
    )
    frame = read_frame(io.BytesIO(result.stdout).read)
    assert (frame.kind, frame.json()) == (FrameKind.ERROR, {"code": code})
    assert result.stderr == b""


def test_limits_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="256 MiB"):
        DecodeLimits(memory_bytes=100 * MIB)
    with pytest.raises(ValueError, match="timeout_s"):
        DecodeLimits(timeout_s=0.0)


def measure(path: Path, max_duration_s: float) -> tuple[int, int, float]:
    """Peak bytes here and in the decoder, and seconds of audio, for streaming a file's clips."""
    tracemalloc.start()
    try:
        with stream_clips(path, max_duration_s=max_duration_s) as stream:
            for _ in stream:
                pass
            return (
                tracemalloc.get_traced_memory()[1],
                stream.summary.decoder_peak_bytes,
                stream.summary.duration_s,
            )
    finally:
        tracemalloc.stop()


def test_an_hour_takes_the_memory_of_a_minute(silent_hour: Path) -> None:
    here_minute, there_minute, _ = measure(silent_hour, 60.0)
    here_hour, there_hour, duration_s = measure(silent_hour, 4 * 3600.0)
    assert duration_s == 3600.0
    assert here_hour < here_minute + 2 * MIB < 12 * MIB
    assert there_hour < there_minute + 8 * MIB < 128 * MIB


def test_ten_hours_are_cut_at_the_cap(silent_ten_hours: Path) -> None:
    with stream_clips(silent_ten_hours, max_duration_s=600.0) as stream:
        assert stream.probe.duration_s == pytest.approx(36_000.0)
        assert sum(1 for _ in stream) == 60
        assert stream.summary.truncated_at_cap
        assert stream.summary.duration_s == 600.0


@pytest.mark.slow
def test_ten_hours_take_the_memory_of_a_minute(silent_ten_hours: Path) -> None:
    here, there, duration_s = measure(silent_ten_hours, float("inf"))
    assert duration_s == 36_000.0
    assert here < 12 * MIB
    assert there < 128 * MIB


def test_a_decoder_that_breaks_the_protocol_is_a_crash(
    write_audio: AudioWriter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    liar = tmp_path / "python"
    path = write_audio("wav", 1.0)
    for output in (r"\x48\xff\xff\xff\xff", r"\x5a\x00\x00\x00\x00", r"H\x02\x00\x00\x00[]", ""):
        liar.write_text(f"#!/bin/sh\nprintf '{output}'\n")
        liar.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(liar))
        with pytest.raises(DecoderCrashed):
            PcmStream(path)
