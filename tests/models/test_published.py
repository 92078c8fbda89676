"""Published checkpoints: the large layout, strict loading, refusals, and the way back."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models import load_published, save_published
from models.networks.config import ConfigError, MelRVQConfig, MuQConfig
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan
from models.published import CheckpointError, published_tensors
from models.published_unused import UNUSED_TENSORS
from tests.models.golden import COMMITTED

TINY = COMMITTED / "tiny"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the committed checkpoints that a test may break."""
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def layout(tensors: dict[str, Tensor]) -> set[tuple[str, str]]:
    return {(name, "x".join(map(str, t.shape)) or "-") for name, t in tensors.items()}


def published_large_layout() -> tuple[set[tuple[str, str]], int, int]:
    """Names and shapes of the published MuQ-MuLan, its parameters, and those of its MuQ."""
    names, parameters, muq_parameters = set(), 0, 0
    for line in (COMMITTED / "muq_mulan_large_layout.txt").read_text().splitlines():
        kind, count, name, shape = line.split()
        names |= {(name.replace("*", str(layer), 1), shape) for layer in range(int(count))}
        if kind == "parameter":
            size = int(count) * torch.Size(map(int, re.findall(r"\d+", shape))).numel()
            parameters += size
            muq_parameters += size * name.startswith("mulan.audio.model.")
    return names, parameters, muq_parameters


def test_the_large_published_shape_has_the_published_names_shapes_and_sizes() -> None:
    expected, parameters, muq_parameters = published_large_layout()
    with torch.device("meta"):
        tensors = published_tensors(MuQMuLan())
        muq_tensors = published_tensors(MuQ())
    assert layout(tensors) == expected
    assert parameters == 663_364_763
    assert muq_parameters == 333_401_472
    prefix = "mulan.audio.model."
    inner = {(name.removeprefix(prefix), shape) for name, shape in expected if prefix in name}
    assert layout(muq_tensors) == inner


def test_meta_networks_hold_no_memory() -> None:
    with torch.device("meta"):
        mulan = MuQMuLan()
    assert all(tensor.is_meta for tensor in mulan.state_dict().values())


@pytest.mark.parametrize("part", ["muq", "muq-mulan"])
def test_missing_and_unexpected_tensors_are_named(tiny: Path, part: str) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        victims = [name for name in tensors if name.endswith(("conv.linear.bias", "rvq.extra"))]
        tensors.pop(victims[0])
        tensors["model.surprise"] = torch.zeros(1)

    edit_weights(tiny / part, change)
    with pytest.raises(CheckpointError) as caught:
        load_published(tiny / part)
    assert re.search(r"missing \S*conv\.linear\.bias", str(caught.value))
    assert "unexpected model.surprise" in str(caught.value)


def test_every_tensor_that_is_read_is_required(tiny: Path) -> None:
    names = load_file(tiny / "muq-mulan" / "model.safetensors")
    required = [n for n in names if not any(unused.matches(n) for unused in UNUSED_TENSORS)]
    edit_weights(tiny / "muq-mulan", lambda tensors: tensors.clear())
    with pytest.raises(CheckpointError) as caught:
        load_published(tiny / "muq-mulan")
    assert all(name in str(caught.value) for name in required)


@pytest.mark.parametrize("part", ["muq", "muq-mulan"])
def test_unused_tensors_change_nothing(tiny: Path, part: str) -> None:
    complete = load_published(tiny / part)

    def drop(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            if any(unused.matches(name) for unused in UNUSED_TENSORS):
                tensors.pop(name)

    edit_weights(tiny / part, drop)
    without = load_published(tiny / part).state_dict()
    assert all(torch.equal(tensor, without[name]) for name, tensor in complete.state_dict().items())


def test_every_skip_has_a_reason_and_matches_no_tensor_of_ours() -> None:
    with torch.device("meta"):
        names = {name for name, _ in layout(published_tensors(MuQMuLan()))}
        ours = len(MuQMuLan().state_dict())
    skipped = {n for n in names for unused in UNUSED_TENSORS if unused.matches(n)}
    assert len(names) - len(skipped) == ours
    assert all(unused.reason for unused in UNUSED_TENSORS)


def test_a_wrong_shape_is_named(tiny: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["model.linear.weight"] = tensors["model.linear.weight"][:-1].clone()

    edit_weights(tiny / "muq", change)
    with pytest.raises(CheckpointError, match=r"model\.linear\.weight is \(2047, 32\), not \(2048"):
        load_published(tiny / "muq")


def test_rotary_frequencies_must_follow_from_the_config(tiny: Path) -> None:
    edit_config(tiny / "muq", lambda c: c["w2v2_config"].update(rotary_embedding_base=10_000))
    with pytest.raises(CheckpointError, match="inv_freq does not follow"):
        load_published(tiny / "muq")


def test_newer_weight_norm_spelling_and_half_precision_load(tiny: Path) -> None:
    before = load_published(tiny / "muq")

    def change(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if "rvq" in name]:
            newer = name.replace("weight_g", "parametrizations.weight.original0")
            newer = newer.replace("weight_v", "parametrizations.weight.original1")
            tensors[newer] = tensors.pop(name)
        tensors["model.linear.bias"] = tensors["model.linear.bias"].half()

    edit_weights(tiny / "muq", change)
    after = load_published(tiny / "muq")
    assert after.head.bias.dtype == torch.float32
    for name, tensor in before.rvq.state_dict().items():
        assert torch.equal(tensor, after.rvq.state_dict()[name])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"use_vq_target": True}, "use_vq_target"),
        ({"use_encodec_target": True}, "use_encodec_target"),
        ({"recon_loss_ratio": 0.5}, "recon_loss_ratio"),
        ({"features": ["chromagram"]}, "features"),
        ({"n_mels": 64}, "n_mels"),
        ({"label_rate": 20}, "label_rate"),
        ({"novelty": 1}, "unknown fields in MuQ config: novelty"),
        ({"stat": {}}, "melspec_2048_mean"),
        ({"w2v2_config": {}}, "position_embeddings_type"),
    ],
)
def test_muq_fields_that_are_not_supported_are_refused(
    tiny: Path, fields: dict[str, Any], message: str
) -> None:
    edit_config(tiny / "muq", lambda values: values.update(fields))
    with pytest.raises(ConfigError, match=message):
        load_published(tiny / "muq")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_embeddings_type", "relative"),
        ("hidden_act", "mish"),
        ("conv_depthwise_kernel_size", 8),
        ("num_attention_heads", 5),
    ],
)
def test_conformer_fields_that_are_not_supported_are_refused(
    tiny: Path, field: str, value: Any
) -> None:
    edit_config(tiny / "muq", lambda values: values["w2v2_config"].update({field: value}))
    with pytest.raises(ConfigError):
        load_published(tiny / "muq")


@pytest.mark.parametrize(
    ("section", "fields", "message"),
    [
        ("mulan", {"sr": 44_100}, "sr"),
        ("mulan", {"clip_secs": 2.5}, "clip_secs"),
        ("mulan", {"hierarchical_contrastive_loss": True}, "hierarchical"),
        ("mulan", {"novelty": 1}, "unknown fields in mulan"),
        ("audio_model", {"model_dim": 31}, "model_dim 31"),
        ("audio_model", {"use_layer_idx": 3}, "audio_layer_index 3"),
        ("text_model", {"model_dim": None}, "text_projection"),
        ("text_model", {"model_dim": 21}, "model_dim 21"),
        ("audio_transformer", {"max_seq_len": 9}, "max_seq_len"),
    ],
)
def test_mulan_fields_that_are_not_supported_are_refused(
    tiny: Path, section: str, fields: dict[str, Any], message: str
) -> None:
    edit_config(tiny / "muq-mulan", lambda values: values[section].update(fields))
    with pytest.raises(ConfigError, match=message):
        load_published(tiny / "muq-mulan")


@pytest.mark.parametrize(
    ("field", "value"),
    [("model_type", "qwen2"), ("position_embedding_type", "relative_key"), ("hidden_act", "mish")],
)
def test_other_text_encoders_are_refused(tiny: Path, field: str, value: str) -> None:
    edit_config(tiny / "xlm-roberta", lambda values: values.update({field: value}))
    with pytest.raises(ConfigError):
        load_published(tiny / "muq-mulan")


def test_parts_are_found_inside_beside_or_by_the_resolver(tiny: Path, tmp_path: Path) -> None:
    expected = load_published(tiny / "muq-mulan").config
    moved = tmp_path / "parts"
    moved.mkdir()
    (tiny / "muq").rename(moved / "audio")
    (tiny / "xlm-roberta").rename(moved / "text")
    with pytest.raises(CheckpointError, match="names 'muq'"):
        load_published(tiny / "muq-mulan")
    places = {"muq": moved / "audio", "xlm-roberta": moved / "text"}
    assert load_published(tiny / "muq-mulan", resolve=places.get).config == expected
    shutil.copytree(moved / "audio", tiny / "muq-mulan" / "muq")
    shutil.copytree(moved / "text", tiny / "muq-mulan" / "xlm-roberta")
    assert load_published(tiny / "muq-mulan").config == expected


def test_hub_ids_of_the_published_parts_need_no_folder(tiny: Path) -> None:
    def change(values: dict[str, Any]) -> None:
        values["audio_model"].update(name="OpenMuQ/MuQ-large-msd-iter", model_dim=1024)
        values["text_model"].update(name="xlm-roberta-base", model_dim=768)

    edit_config(tiny / "muq-mulan", change)
    with pytest.raises(CheckpointError, match=r"muq-mulan.* does not fit its config"):
        load_published(tiny / "muq-mulan")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, r"config\.json does not exist"),
        ("config.json", b"{", "is not JSON"),
        ("config.json", b"[]", "does not hold an object"),
        ("model.safetensors", None, "pickled weights are never loaded"),
        ("model.safetensors", b"\x00" * 64, "is damaged"),
    ],
)
def test_broken_folders_are_refused(
    tiny: Path, file: str, content: bytes | None, message: str
) -> None:
    path = tiny / "muq" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_published(tiny / "muq")


@pytest.mark.parametrize("part", ["muq", "muq-mulan"])
def test_what_is_written_is_what_was_loaded(tiny: Path, tmp_path: Path, part: str) -> None:
    model = load_published(tiny / part)
    save_published(model, tmp_path / "written")
    again = load_published(tmp_path / "written")
    assert again.config == model.config
    state = again.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    original = load_file(tiny / part / "model.safetensors")
    assert layout(load_file(tmp_path / "written" / "model.safetensors")) == layout(original)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_deeper_projections_and_no_quantizer_survive_the_way_back(
    tmp_path: Path, layers: int
) -> None:
    model = load_published(TINY / "muq")
    assert isinstance(model, MuQ)
    rvq = MelRVQConfig(codebooks=2, projection_layers=layers)
    for config in (
        MuQConfig(conformer=model.config.conformer, conv_dim=4, head_dim=2048, target_codebooks=2,
                  rvq=rvq, label_rate_hz=25),
        MuQConfig(conformer=model.config.conformer, conv_dim=4, head_dim=500, target_codebooks=1,
                  rvq=None),
    ):  # fmt: skip
        deep = MuQ(config).eval()
        save_published(deep, tmp_path)
        again = load_published(tmp_path)
        audio = torch.randn(1, 9600)
        assert torch.equal(again(audio).logits, deep(audio).logits)


def test_a_shape_that_the_layout_cannot_express_is_not_written(tmp_path: Path) -> None:
    config = MuQConfig(head_dim=64, target_codebooks=2, rvq=MelRVQConfig(codebook_size=32))
    with torch.device("meta"):
        model = MuQ(config)
    with pytest.raises(ConfigError, match="1024 codes"):
        save_published(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_loaded_networks_do_not_start_in_training_mode(tiny: Path) -> None:
    model = load_published(tiny / "muq-mulan")
    assert not any(module.training for module in model.modules())
    assert any(parameter.requires_grad for parameter in model.parameters())
