"""How our networks' tensors are called in published checkpoints, and how they are shaped there."""

import re
from collections.abc import Iterable

Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*pairs: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


_MUQ = _rules(
    (r"^stem\.projection\.", "conv.linear."),
    (r"^stem\.blocks\.(\d+)\.norm([12])\.", r"conv.conv.\1.bn\2."),
    (r"^stem\.blocks\.(\d+)\.skip_conv\.", r"conv.conv.\1.conv3."),
    (r"^stem\.blocks\.(\d+)\.skip_norm\.", r"conv.conv.\1.bn3."),
    (r"^stem\.blocks\.", "conv.conv."),
    (r"^head\.", "linear."),
    (r"^conformer\.norm\.", "conformer.layer_norm."),
    (r"\.ffn([12])_norm\.", r".ffn\1_layer_norm."),
    (r"\.ffn([12])\.expand\.", r".ffn\1.intermediate_dense."),
    (r"\.ffn([12])\.contract\.", r".ffn\1.output_dense."),
    (r"\.attention_norm\.", ".self_attn_layer_norm."),
    (r"\.attention\.query\.", ".self_attn.linear_q."),
    (r"\.attention\.key\.", ".self_attn.linear_k."),
    (r"\.attention\.value\.", ".self_attn.linear_v."),
    (r"\.attention\.output\.", ".self_attn.linear_out."),
    (r"\.convolution\.norm\.", ".conv_module.layer_norm."),
    (r"\.convolution\.expand\.", ".conv_module.pointwise_conv1."),
    (r"\.convolution\.contract\.", ".conv_module.pointwise_conv2."),
    (r"\.convolution\.depthwise\.", ".conv_module.depthwise_conv."),
    (r"\.convolution\.", ".conv_module."),
    (r"\.final_norm\.", ".final_layer_norm."),
    (r"^rvq\.stages\.(\d+)\.codebook\.vectors\.", r"rvq.quantizers.\1.codebook."),
    (r"^rvq\.stages\.(\d+)\.codebook\.", r"rvq.quantizers.\1."),
    (r"^rvq\.stages\.", "rvq.quantizers."),
    (r"^", "model."),
)

_TOWER_LAYERS = _rules(
    (r"\.attention\.norm\.weight$", ".0.norm.learned_gamma"),
    (r"\.attention\.query\.", ".0.to_q."),
    (r"\.attention\.key_value\.", ".0.to_kv."),
    (r"\.attention\.query_scale$", ".0.q_scale"),
    (r"\.attention\.key_scale$", ".0.k_scale"),
    (r"\.attention\.output\.", ".0.to_out.0."),
    (r"\.feed_forward\.norm\.weight$", ".1.0.learned_gamma"),
    (r"\.feed_forward\.expand\.", ".1.1."),
    (r"\.feed_forward\.contract\.", ".1.4."),
)

_TEXT_ENCODER = _rules(
    (r"^embeddings\.tokens\.", "embeddings.word_embeddings."),
    (r"^embeddings\.positions\.", "embeddings.position_embeddings."),
    (r"^embeddings\.types\.", "embeddings.token_type_embeddings."),
    (r"^embeddings\.norm\.", "embeddings.LayerNorm."),
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.output\.", ".attention.output.dense."),
    (r"\.attention\.(query|key|value)\.", r".attention.self.\1."),
    (r"\.attention_norm\.", ".attention.output.LayerNorm."),
    (r"\.expand\.", ".intermediate.dense."),
    (r"\.contract\.", ".output.dense."),
    (r"\.output_norm\.", ".output.LayerNorm."),
)

_MULAN = _rules(
    (r"^audio\.projection\.", "mulan.audio.proj."),
    (r"^audio\.to_embedding\.", "mulan.audio_to_latents."),
    (r"^text\.projection\.", "mulan.text.proj."),
    (r"^text\.to_embedding\.", "mulan.text_to_latents."),
    (r"^contrastive\.log_temperature$", "mulan.contrast.temperatures"),
    (r"^contrastive\.bias$", "mulan.contrast.bias"),
    (r"^(audio|text)\.transformer\.", r"mulan.\1.transformer."),
)

_PROJECTION = re.compile(r"\.project_(in|out)\.(\d+)\.(gain|direction|bias)$")
_WEIGHT_NORM = {"gain": "weight_g", "direction": "weight_v", "bias": "bias"}


def muq_name(name: str, projection_layers: int = 1) -> str:
    """What a tensor of our MuQ is called in a published one."""
    return _apply(_MUQ, _rename_projection(name, projection_layers))


def text_name(name: str) -> str:
    """What a tensor of our text encoder is called in HF's."""
    return _apply(_TEXT_ENCODER, name)


def mulan_name(name: str, projection_layers: int = 1) -> str:
    """What a tensor of our MuQ-MuLan is called in a published one."""
    if name.startswith("audio.muq."):
        inner = muq_name(name.removeprefix("audio.muq."), projection_layers)
        return f"mulan.audio.model.{inner}"
    if name.startswith("text.encoder."):
        return f"mulan.text.model.{text_name(name.removeprefix('text.encoder.'))}"
    return _apply(_TOWER_LAYERS + _MULAN, name)


def published_shape(published_name: str, shape: Iterable[int]) -> tuple[int, ...]:
    """The shape that a tensor of ours has in a published checkpoint.

    Our linear maps over frames are 1x1 convolutions there; our scalars have three axes.
    """
    sizes = tuple(shape)
    if ".conv_module.pointwise_conv" in published_name:
        return (*sizes, 1)
    if published_name.startswith("mulan.contrast."):
        return (1, 1, 1)
    return sizes


def canonical_name(published_name: str) -> str:
    """A checkpoint's own name with weight norm as the older spelling has it."""
    if ".rvq." not in f".{published_name}":
        return published_name
    name = published_name.replace(".parametrizations.weight.original0", ".weight_g")
    return name.replace(".parametrizations.weight.original1", ".weight_v")


def _rename_projection(name: str, layers: int) -> str:
    """Name a part of the quantizer's projections: one convolution, or several, nested."""
    match = _PROJECTION.search(name)
    if match is None:
        return name
    direction, step, part = match.groups()
    # Our layers alternate with ReLU, so layer i is step 2 i.
    place = _projection_place(direction, int(step) // 2, layers)
    return f"{name[: match.start()]}.{direction}_proj{place}.{_WEIGHT_NORM[part]}"


def _projection_place(direction: str, layer: int, layers: int) -> str:
    if layers == 1:
        return ""
    if layer == 0:
        return ".0"
    if layer == layers - 1:
        return f".{layers}"
    # Inner layers are pairs with their ReLU, before it on the way out and behind it on the way in.
    return f".{layer}.1" if direction == "in" else f".{layer + 1}.0"


def _apply(rules: Rules, name: str) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name
