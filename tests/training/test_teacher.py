"""The teacher's port: reader, front end, network, labelling and search.

Everything but the last test runs on made-up weights. MUQUERY_WHEELS names a folder with the
pinned package for that last one.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from models.training.decode import DecodeError
from models.training.manifest import ManifestEntry, write_manifest
from models.training.teacher.label import label_manifest
from models.training.teacher.label_store import (
    TEACHER,
    LabelsError,
    TeacherLabels,
    not_heard,
    read_labels,
)
from models.training.teacher.mel import log_mel, mel_filters
from models.training.teacher.musicnn import FrontBlock, Musicnn, NetworkT, musicnn_from_tf
from models.training.teacher.released import PATH as RELEASED
from models.training.teacher.released import find_released, pack_labels
from models.training.teacher.search import TagStatistics, likeness, spoken_tags
from models.training.teacher.tagger import TeacherTags, mel_patches
from models.training.teacher.tf_checkpoint import read_tf_checkpoint
from models.training.teacher.vgg import Vgg, vgg_from_tf
from models.training.teacher.vocabulary import (
    MAGNATAGATUNE_TAGS,
    MILLION_SONG_TAGS,
    TEACHER_TAGS,
)
from models.training.teacher.windows import read_windows, window_starts_s

Floats = NDArray[np.float32]
RATE_HZ = 16_000


def _tone(duration_s: float, frequency_hz: float, rate_hz: int = RATE_HZ) -> Floats:
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def _write_wav(path: Path, samples: Floats, rate_hz: int = RATE_HZ) -> None:
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate_hz)
        stream.writeframes((samples * 32767).astype("<i2").tobytes())


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _block(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """A table block with shared key prefixes, one restart point, and a trailer."""
    out, last = b"", b""
    for key, value in entries:
        same = [a == b for a, b in zip(last, key, strict=False)]
        shared = same.index(False) if False in same else len(same)
        out += _varint(shared) + _varint(len(key) - shared) + _varint(len(value))
        out += key[shared:] + value
        last = key
    return out + struct.pack("<II", 0, 1) + bytes([compression, 0, 0, 0, 0])


def _checkpoint(tensors: dict[str, Floats], compression: int = 0) -> tuple[bytes, bytes]:
    """An index and a data file that hold the tensors as TensorFlow would."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name in sorted(tensors):
        dims = b"".join(
            b"\x12" + _varint(len(dim)) + dim
            for dim in (b"\x08" + _varint(size) for size in tensors[name].shape)
        )
        raw = tensors[name].astype("<f4").tobytes()
        value = b"\x08\x01\x12" + _varint(len(dims)) + dims
        value += b"\x20" + _varint(len(data)) + b"\x28" + _varint(len(raw))
        entries.append((name.encode(), value))
        data += raw
    block = _block(entries, compression)
    handle = _varint(0) + _varint(len(block) - 5)
    index_block = _block([(b"zzz", handle)])
    handles = bytes(2) + _varint(len(block)) + _varint(len(index_block) - 5)
    footer = handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    return block + index_block + footer, data


def test_checkpoint_reader_returns_what_was_stored() -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "dense/kernel": rng.normal(size=(300, 7)).astype(np.float32),
        "dense/bias": rng.normal(size=7).astype(np.float32),
        "dense_1/bias": rng.normal(size=()).astype(np.float32),
    }
    found = read_tf_checkpoint(*_checkpoint(tensors))
    assert set(found) == set(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(found[name], value)


def test_checkpoint_reader_refuses_other_files() -> None:
    index, data = _checkpoint({"a": np.ones(3, dtype=np.float32)})
    with pytest.raises(ValueError, match="not a TensorFlow checkpoint"):
        read_tf_checkpoint(index[:-1] + b"\0", data)
    with pytest.raises(ValueError, match="compressed"):
        read_tf_checkpoint(*_checkpoint({"a": np.ones(3, dtype=np.float32)}, compression=1))


def test_mel_frames_and_the_bin_of_a_tone() -> None:
    mel = log_mel(_tone(1.0, 1000.0))
    assert mel.shape == (16_000 // 256 + 1, 96)
    loudest = int(mel[20].argmax())
    centre_bin = int(mel_filters()[:, loudest].argmax())
    assert abs(centre_bin * RATE_HZ / 512 - 1000.0) < 40.0
    assert not log_mel(np.zeros(1000, dtype=np.float32)).any()
    with pytest.raises(ValueError, match="more than 256"):
        log_mel(np.zeros(256, dtype=np.float32))


def test_wide_mel_filters_have_unit_area() -> None:
    area = mel_filters().sum(axis=0) * RATE_HZ / 512
    np.testing.assert_allclose(area[60:], 1.0, atol=0.02)  # the narrow ones fall between bins


def _random_network(seed: int = 0) -> Musicnn:
    torch.manual_seed(seed)
    return _with_random_norms(Musicnn())


def _random_vgg(seed: int = 0) -> Vgg:
    torch.manual_seed(seed)
    return _with_random_norms(Vgg())


def _random_teacher() -> TeacherTags:
    return TeacherTags([_random_network(0), _random_vgg(0), _random_network(1), _random_vgg(1)])


def _with_random_norms(network: NetworkT) -> NetworkT:
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight)  # of both signs
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return network


def test_front_blocks_equal_the_published_order_of_operations() -> None:
    mels = torch.randn(2, 40, 96)
    for block in _random_network().front:
        assert isinstance(block, FrontBlock)
        frames = block.conv.kernel_size[0]
        padded = functional.pad(mels, (0, 0, (frames - 1) // 2, frames // 2)).unsqueeze(1)
        responses = functional.relu(block.conv(padded))  # [N, C, F, positions]
        n, channels, time, positions = responses.shape
        normed = block.norm(responses.reshape(n, channels, time * positions))
        expected = normed.reshape(responses.shape).amax(dim=3)
        torch.testing.assert_close(block(mels), expected, atol=1e-4, rtol=1e-4)


def _as_tf(network: Musicnn) -> dict[str, Floats]:
    """A network's weights under the published names and shapes."""
    norms = [network.input_norm, *(block.norm for block in (*network.front, *network.middle))]
    norms += [network.pooled_norm, network.dense_norm]
    tensors: dict[str, torch.Tensor] = {}
    for i, norm in enumerate(norms):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        tensors[f"{name}/gamma"], tensors[f"{name}/beta"] = norm.weight, norm.bias
        tensors[f"{name}/moving_mean"] = norm.running_mean
        tensors[f"{name}/moving_variance"] = norm.running_var
    for i, block in enumerate((*network.front, *network.middle)):
        name = f"conv2d_{i}" if i else "conv2d"
        weight = block.conv.weight
        plane = weight if weight.ndim == 4 else weight.transpose(1, 2).unsqueeze(1)
        tensors[f"{name}/kernel"] = plane.permute(2, 3, 1, 0)
        tensors[f"{name}/bias"] = block.conv.bias
    for name, layer in (("dense", network.dense), ("dense_1", network.output)):
        tensors[f"{name}/kernel"], tensors[f"{name}/bias"] = layer.weight.T, layer.bias
    return {name: value.detach().numpy() for name, value in tensors.items()}


def test_weights_survive_the_way_through_a_checkpoint() -> None:
    network = _random_network()
    tensors = _as_tf(network)
    assert tensors["conv2d/kernel"].shape == (7, 38, 1, 204)
    assert tensors["conv2d_5/kernel"].shape == (7, 561, 1, 64)
    assert tensors["dense/kernel"].shape == (1506, 200)
    loaded = musicnn_from_tf(read_tf_checkpoint(*_checkpoint(tensors)))
    mels = torch.randn(1, 187, 96)
    torch.testing.assert_close(loaded(mels).logits, network(mels).logits)
    del tensors["conv2d_3/bias"]
    with pytest.raises(KeyError, match="conv2d_3/bias"):
        musicnn_from_tf(tensors)


def test_the_plain_network_equals_the_published_order_of_operations() -> None:
    """Convolution, ReLU, normalisation, maximum: with scales of both signs the order matters."""
    network = _random_vgg()
    mels = torch.randn(2, 187, 96)
    expected = network.input_norm(mels.unsqueeze(1))
    for i, (window, step) in enumerate(
        [((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4))]
    ):
        convolved = functional.conv2d(
            expected, network.convs[i].weight, network.convs[i].bias, padding=1
        )
        normed = network.norms[i](convolved.clamp(min=0.0))
        expected = functional.max_pool2d(normed, window, step)
    assert expected.shape == (2, 128, 2, 1)
    by_place = torch.cat([expected[:, :, 0, 0], expected[:, :, 1, 0]], dim=1)
    torch.testing.assert_close(network(mels).penultimate, by_place, atol=1e-4, rtol=1e-4)


def test_weights_of_the_plain_network_survive_the_way_through_a_checkpoint() -> None:
    network = _random_vgg()
    tensors: dict[str, torch.Tensor] = {
        "dense/kernel": network.output.weight.T,
        "dense/bias": network.output.bias,
    }
    for i, norm in enumerate([network.input_norm, *network.norms]):
        name = f"batch_normalization_{i}" if i else "batch_normalization"
        tensors[f"{name}/gamma"], tensors[f"{name}/beta"] = norm.weight, norm.bias
        tensors[f"{name}/moving_mean"] = norm.running_mean
        tensors[f"{name}/moving_variance"] = norm.running_var
    for i, conv in enumerate(network.convs):
        tensors[f"{i + 1}CNN/kernel"] = conv.weight.permute(2, 3, 1, 0)
        tensors[f"{i + 1}CNN/bias"] = conv.bias
    stored = {name: value.detach().numpy() for name, value in tensors.items()}
    assert stored["2CNN/kernel"].shape == (3, 3, 128, 128)
    assert stored["dense/kernel"].shape == (256, 50)
    loaded = vgg_from_tf(read_tf_checkpoint(*_checkpoint(stored)))
    mels = torch.randn(1, 187, 96)
    torch.testing.assert_close(loaded(mels).logits, network(mels).logits)
    del stored["3CNN/bias"]
    with pytest.raises(KeyError, match="3CNN/bias"):
        vgg_from_tf(stored)


def test_the_teacher_is_the_mean_of_two_networks_for_each_vocabulary() -> None:
    networks = [_random_network(0), _random_vgg(0), _random_network(1), _random_vgg(1)]
    audio = _tone(3.0, 440.0)
    said = TeacherTags(networks).label(audio, RATE_HZ)
    patches = torch.from_numpy(mel_patches(audio, RATE_HZ))
    with torch.inference_mode():
        alone = [network(patches) for network in networks]
    first = (alone[0].logits + alone[1].logits) / 2
    second = (alone[2].logits + alone[3].logits) / 2
    torch.testing.assert_close(torch.from_numpy(said.logits), torch.cat([first, second], dim=1))
    summaries = torch.cat([alone[0].penultimate, alone[2].penultimate], dim=1)
    torch.testing.assert_close(torch.from_numpy(said.embeddings), summaries)
    with pytest.raises(ValueError, match="4 networks, not 1"):
        TeacherTags(networks[:1])


def test_labels_of_another_teacher_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    np.savez(path, tags=np.asarray(TEACHER_TAGS), track_ids=np.asarray(["a"]))
    with pytest.raises(LabelsError, match="earlier teacher: move it away"):
        read_labels(path)


def test_released_labels_serve_the_very_files_that_were_heard(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = [_entry("b", 24.0), _entry("a", 12.0)]
    labels = TeacherLabels(
        track_ids=np.asarray(["b", "b", "a"]),
        starts_s=np.asarray([1.0, 13.0, 1.0], dtype=np.float32),
        durations_s=np.full(3, 10.0, dtype=np.float32),
        logits=rng.normal(scale=3.0, size=(3, len(TEACHER_TAGS))).astype(np.float32),
        embeddings=rng.normal(size=(3, 4)).astype(np.float16),
    )
    path = tmp_path / "released.npz"
    assert find_released(entries, path) is None
    pack_labels(path, labels, entries)
    found = find_released(list(reversed(entries)), path)
    assert found is not None
    assert found.track_ids.tolist() == ["b", "b", "a"]
    assert found.starts_s.tolist() == [1.0, 13.0, 1.0]
    steps = (labels.logits.max(axis=0) - labels.logits.min(axis=0)) / 255
    assert (np.abs(found.logits - labels.logits) <= 0.51 * steps).all()
    np.testing.assert_allclose(found.embeddings, labels.embeddings, atol=0.02)
    assert not not_heard(entries, found, 2)
    changed = [dataclasses.replace(entries[0], sha256="1" * 64), entries[1]]
    of_one = find_released(changed, path)
    assert of_one is not None
    assert of_one.track_ids.tolist() == [entries[1].id] * len(of_one.track_ids)
    assert (of_one.logits == found.logits[found.track_ids == entries[1].id]).all()
    assert find_released(changed[:1], path) is None
    with pytest.raises(KeyError):
        pack_labels(path, labels, entries[:1])


def test_the_labels_in_the_repository_are_this_teacher_s() -> None:
    with np.load(RELEASED, allow_pickle=False) as stored:
        assert str(stored["teacher"]) == TEACHER
        assert stored["logits"].shape == (len(stored["rows"]), len(TEACHER_TAGS))
        assert stored["embeddings"].shape == (len(stored["rows"]), 400)
        assert len(stored["tracks"]) == 3608


@pytest.mark.parametrize(("duration_s", "patches"), [(0.5, 1), (3.0, 1), (6.1, 2), (10.0, 3)])
def test_patches_cover_the_audio(duration_s: float, patches: int) -> None:
    assert mel_patches(_tone(duration_s, 440.0), RATE_HZ).shape == (patches, 187, 96)


def test_patches_reach_the_end_of_the_audio() -> None:
    audio = np.concatenate([np.zeros(9 * RATE_HZ, dtype=np.float32), _tone(1.0, 440.0)])
    patches = mel_patches(audio, RATE_HZ)
    assert patches[-1].any()
    assert not patches[0].any()


def test_audio_at_another_rate_is_resampled() -> None:
    native = mel_patches(_tone(4.0, 500.0), RATE_HZ)
    resampled = mel_patches(_tone(4.0, 500.0, rate_hz=24_000), 24_000)
    loud = native > 3.0  # the tone itself; below it lies what a resampler leaves
    assert loud.any()
    assert np.abs(native[loud] - resampled[loud]).max() < 0.05


def test_windows_are_spread_evenly() -> None:
    assert window_starts_s(100.0, most=4) == [7.5, 32.5, 57.5, 82.5]
    assert window_starts_s(25.0, most=4) == [1.25, 13.75]
    assert window_starts_s(4.0, most=4) == [0.0]


def test_windows_read_by_seeking_equal_those_cut_from_the_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=90 * RATE_HZ).astype(np.float32)
    _write_wav(tmp_path / "noise.wav", noise)
    starts_s = [0.0, 33.3, 84.0]  # the last has 6 s left and is moved forward
    windows = read_windows(tmp_path / "noise.wav", 90.0, starts_s, RATE_HZ)
    assert [len(window) for window in windows[:2]] == [160_000, 160_000]
    for window, start_s in zip(windows[:2], starts_s, strict=False):
        first = round(start_s * RATE_HZ)
        np.testing.assert_allclose(window, noise[first : first + 160_000], atol=1e-3)
    np.testing.assert_allclose(windows[2][-1000:], noise[-1000:], atol=1e-3)
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(DecodeError):
        read_windows(tmp_path / "text.wav", 90.0, [0.0], RATE_HZ)


def _entry(name: str, duration_s: float) -> ManifestEntry:
    return ManifestEntry(
        id=name,
        path=f"{name}.wav",
        duration_s=duration_s,
        split="train",
        group=name,
        source="test",
        sha256="0" * 64,
        title=None,
        artist=None,
        licence="CC0-1.0",
        attribution="",
    )


def test_labelling_resumes_and_reports_what_cannot_be_decoded(tmp_path: Path) -> None:
    teacher = _random_teacher()
    _write_wav(tmp_path / "short.wav", _tone(12.0, 220.0))
    _write_wav(tmp_path / "long.wav", _tone(24.0, 330.0))
    (tmp_path / "broken.wav").write_text("no audio")
    manifest, out = tmp_path / "manifest.jsonl", tmp_path / "labels.npz"
    lines: list[str] = []
    write_manifest(manifest, [_entry("short", 12.0), _entry("broken", 12.0)])
    failed = label_manifest(teacher, manifest, out, windows=2, report=lines.append)
    assert failed == ["broken"]
    first = read_labels(out)
    write_manifest(manifest, [_entry("short", 12.0), _entry("long", 24.0)])
    assert label_manifest(teacher, manifest, out, windows=2, report=lines.append) == []
    assert "1 of 2 tracks to label" in lines
    labels = read_labels(out)
    assert labels.track_ids.tolist() == ["short", "long", "long"]
    assert labels.starts_s.tolist() == [1.0, 1.0, 13.0]
    assert labels.logits.shape == (3, len(TEACHER_TAGS))
    assert labels.embeddings.shape == (3, 400)
    np.testing.assert_array_equal(labels.logits[:1], first.logits)
    assert {track: rows.tolist() for track, rows in labels.rows_of().items()} == {
        "short": [0],
        "long": [1, 2],
    }


def test_a_track_of_which_more_is_to_be_heard_is_labelled_anew(tmp_path: Path) -> None:
    teacher = _random_teacher()
    _write_wav(tmp_path / "short.wav", _tone(12.0, 220.0))
    _write_wav(tmp_path / "long.wav", _tone(24.0, 330.0))
    manifest, out = tmp_path / "manifest.jsonl", tmp_path / "labels.npz"
    entries = [_entry("long", 24.0), _entry("short", 12.0)]
    write_manifest(manifest, entries)
    lines: list[str] = []
    label_manifest(teacher, manifest, out, windows=1, report=lines.append)
    assert not not_heard(entries, read_labels(out), 1)
    assert [entry.id for entry in not_heard(entries, read_labels(out), 2)] == ["long"]
    label_manifest(teacher, manifest, out, windows=2, report=lines.append)
    assert lines.count("1 of 2 tracks to label") == 1
    assert {track: len(rows) for track, rows in read_labels(out).rows_of().items()} == {
        "short": 1,
        "long": 2,
    }


def test_vocabulary() -> None:
    assert len(MAGNATAGATUNE_TAGS) == len(MILLION_SONG_TAGS) == 50
    assert len(set(MAGNATAGATUNE_TAGS)) == len(set(MILLION_SONG_TAGS)) == 50
    assert spoken_tags(("rnb", "piano")) == ["R&B", "piano"]


def test_likeness_is_a_softmax_over_what_texts_are_near_to() -> None:
    anchors = np.eye(3, dtype=np.float32)
    shares = likeness(2.0 * anchors[:2] + 2.0 * anchors[1:], anchors)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(shares[0, :2], 0.5, atol=1e-3)
    np.testing.assert_allclose(likeness(3.0 * anchors, anchors), anchors, atol=1e-6)


def test_a_tag_that_never_varies_says_nothing() -> None:
    logits = np.array([[-8.0, 3.0, 0.0], [-6.0, 2.0, 0.0], [-7.0, 1.0, 0.0]], dtype=np.float32)
    scores = TagStatistics.of(logits).standardise(logits)
    assert scores[:, 0].argsort()[::-1].tolist() == [1, 2, 0]  # least negative first
    np.testing.assert_allclose(scores[:, 2], 0.0, atol=1e-6)
    with pytest.raises(ValueError, match="at least two"):
        TagStatistics.of(logits[:1])


@pytest.mark.skipif(
    "MUQUERY_WHEELS" not in os.environ,
    reason="MUQUERY_WHEELS names no folder with the teacher's package: real weights NOT checked",
)
def test_published_weights_give_what_the_original_code_gave() -> None:
    """Expected values: the authors' TensorFlow networks on librosa's mel of the same audio."""
    teacher = TeacherTags.from_package(Path(os.environ["MUQUERY_WHEELS"]))
    time_s = np.arange(160_000) / RATE_HZ
    decay = np.exp(-3 * ((time_s * 2) % 1))
    chord = sum(np.sin(2 * np.pi * f * time_s) for f in (220.0, 277.18, 329.63))
    audio = (chord * decay / 8).astype(np.float32)
    # By network: the first six tags of the first patch, the mean over tags of each patch.
    expected = [
        ([-2.4092, -5.6347, -0.9836, -3.1228, -5.5405, -3.6349], [-5.4896, -5.6738, -5.4935]),
        ([-2.8558, -3.9612, -0.7731, -1.5972, -4.7534, -1.6649], [-3.8494, -3.5619, -3.7172]),
        ([-3.9675, -3.5017, -3.4414, -2.6723, -0.3381, -2.9720], None),
        ([-4.0346, -4.1689, -3.9371, -3.5281, -0.2906, -3.5658], [-4.7996, -4.7559, -5.0432]),
    ]
    patches = torch.from_numpy(mel_patches(audio, RATE_HZ))
    for network, (first, means) in zip(teacher.networks, expected, strict=True):
        with torch.inference_mode():
            logits = network(patches).logits.numpy()
        np.testing.assert_allclose(logits[0, :6], first, atol=2e-3)
        if means is not None:
            np.testing.assert_allclose(logits.mean(axis=1), means, atol=2e-3)
    assert teacher.label(audio, RATE_HZ).logits.shape == (3, 100)
