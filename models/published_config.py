"""Between the published packages' `config.json` and the configurations of our networks.

A field that changes what a network computes is either translated or, where we do not do what it
asks for, refused with an error that names it. Fields of a name that is not known are refused too.
"""

from collections.abc import Mapping
from typing import Any

from models.networks.config import (
    ConfigError,
    ConformerConfig,
    ContrastiveKind,
    MaskingConfig,
    MelConfig,
    MelRVQConfig,
    MuQConfig,
    MuQMuLanConfig,
    TextEncoderConfig,
    TransformerConfig,
    require,
)

Values = Mapping[str, Any]

# The published quantizer's shape where its configuration leaves no choice.
RVQ_CODES = 1024
RVQ_CODE_DIM = 16
MEL_BINS = 128
MEL = "melspec_2048"

# What the published package takes for a field that config.json leaves out.
_MUQ_DEFAULTS: dict[str, Any] = {
    "label_rate": 25,
    "num_codebooks": 1,
    "codebook_dim": 16,
    "codebook_size": 4096,
    "features": [MEL],
    "hop_length": 240,
    "n_mels": MEL_BINS,
    "conv_dim": 512,
    "encoder_dim": 1024,
    "encoder_depth": 12,
    "mask_hop": 0.4,
    "mask_prob": 0.6,
    "is_flash": False,
    "stat": {},
    "w2v2_config": {},
    "use_rvq_target": False,
    "use_vq_target": False,
    "use_encodec_target": False,
    "rvq_ckpt_path": None,
    "recon_loss_ratio": None,
    "resume_checkpoint": None,
    "rvq_n_codebooks": 8,
    "rvq_multi_layer_num": 1,
}
_TRANSFORMER_DEFAULTS: dict[str, Any] = {
    "dim": 768,
    "tf_depth": 8,
    "heads": 8,
    "dim_head": 64,
    "attn_dropout": 0.0,
    "ff_dropout": 0.0,
    "ff_mult": 4,
}
_MODAL_DEFAULTS: dict[str, Any] = {"name": "", "model_dim": None, "use_layer_idx": -1}
_MULAN_DEFAULTS: dict[str, Any] = {
    "sr": 24_000,
    "clip_secs": 10,
    "dim_latent": 512,
    "decoupled_contrastive_learning": True,
    "hierarchical_contrastive_loss": False,
    "hierarchical_contrastive_loss_layers": None,
    "sigmoid_contrastive_loss": False,
    "rank_contrast": True,
}
_MULAN_SECTIONS = ("mulan", "audio_model", "text_model", "audio_transformer", "text_transformer")

# Text encoders of one architecture, and whether positions are counted past the padding's.
_TEXT_KINDS = {"xlm-roberta": True, "roberta": True, "bert": False}


def is_mulan(values: Values) -> bool:
    """Whether these are the values of a MuQ-MuLan configuration."""
    return "mulan" in values


def read_muq(values: Values) -> MuQConfig:
    """MuQ's configuration from its published values. Raises ConfigError for what we do not do."""
    full = _with_defaults("MuQ", values, _MUQ_DEFAULTS)
    require(full["features"] == [MEL], f"features {full['features']} are not [{MEL!r}]")
    require(full["n_mels"] == MEL_BINS, f"n_mels must be {MEL_BINS}, not {full['n_mels']}")
    for switch in ("use_vq_target", "use_encodec_target"):
        require(not full[switch], f"{switch} is not supported")
    require(not full["recon_loss_ratio"], "recon_loss_ratio is not supported")
    label_rate = full["label_rate"]
    require(label_rate in (25, 50), f"label_rate must be 25 or 50, not {label_rate}")
    codebooks = max(1, full["codebook_size"] // RVQ_CODES) if full["use_rvq_target"] else 1
    return MuQConfig(
        mel=_read_mel(full),
        conv_dim=full["conv_dim"],
        conformer=_read_conformer(full),
        label_rate_hz=label_rate,
        head_dim=full["codebook_size"],
        target_codebooks=codebooks,
        rvq=_read_rvq(full) if full["use_rvq_target"] else None,
        masking=MaskingConfig(block_s=full["mask_hop"], probability=full["mask_prob"]),
    )


def write_muq(config: MuQConfig) -> dict[str, Any]:
    """The published values of MuQ's configuration; ConfigError where it cannot be expressed."""
    mel, conformer, rvq = config.mel, config.conformer, config.rvq
    codes = config.head_dim // config.target_codebooks
    require(rvq is None or codes == RVQ_CODES, f"the layout fixes {RVQ_CODES} codes, not {codes}")
    values = {
        **_MUQ_DEFAULTS,
        "label_rate": config.label_rate_hz,
        "codebook_size": config.head_dim,
        "hop_length": mel.hop_samples,
        "n_mels": mel.mel_bins,
        "conv_dim": config.conv_dim,
        "encoder_dim": conformer.width,
        "encoder_depth": conformer.layers,
        "mask_hop": config.masking.block_s,
        "mask_prob": config.masking.probability,
        "stat": {f"{MEL}_mean": mel.mean_db, f"{MEL}_std": mel.std_db},
        "w2v2_config": _write_conformer(conformer),
        "use_rvq_target": rvq is not None,
        "rvq_n_codebooks": rvq.codebooks if rvq else 8,
        "rvq_multi_layer_num": rvq.projection_layers if rvq else 1,
    }
    require(read_muq(values) == config, "the published layout cannot express this MuQ's shape")
    return values


def read_text(values: Values) -> TextEncoderConfig:
    """A text encoder's configuration from HF's values. Raises ConfigError for what we do not do."""
    kind = values.get("model_type")
    require(kind in _TEXT_KINDS, f"text model_type {kind!r} is not one of {sorted(_TEXT_KINDS)}")
    positions = values.get("position_embedding_type", "absolute")
    require(positions == "absolute", f"position_embedding_type {positions!r} is not supported")
    past_padding = _TEXT_KINDS[str(kind)]
    pad_token_id = _get(values, "pad_token_id")
    return TextEncoderConfig(
        vocab_size=_get(values, "vocab_size"),
        width=_get(values, "hidden_size"),
        layers=_get(values, "num_hidden_layers"),
        heads=_get(values, "num_attention_heads"),
        feed_forward=_get(values, "intermediate_size"),
        max_positions=_get(values, "max_position_embeddings"),
        first_position=pad_token_id + 1 if past_padding else 0,
        token_types=_get(values, "type_vocab_size"),
        pad_token_id=pad_token_id,
        activation=_read_activation(values),
        norm_eps=values.get("layer_norm_eps", 1e-5 if past_padding else 1e-12),
        hidden_dropout=values.get("hidden_dropout_prob", 0.1),
        attention_dropout=values.get("attention_probs_dropout_prob", 0.1),
    )


def write_text(config: TextEncoderConfig) -> dict[str, Any]:
    """HF's values of a text encoder's configuration."""
    bert = config.first_position == 0
    return {
        "architectures": ["BertModel" if bert else "XLMRobertaModel"],
        "model_type": "bert" if bert else "xlm-roberta",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward,
        "max_position_embeddings": config.max_positions,
        "type_vocab_size": config.token_types,
        "pad_token_id": config.pad_token_id,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.hidden_dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "position_embedding_type": "absolute",
    }


def mulan_names(values: Values) -> tuple[str, str]:
    """The names under which a MuQ-MuLan configuration refers to its audio and its text model."""
    return _get(values["audio_model"], "name"), _get(values["text_model"], "name")


def read_mulan(values: Values, muq: MuQConfig, text: TextEncoderConfig) -> MuQMuLanConfig:
    """MuQ-MuLan's configuration from its published values and those that it refers to."""
    unknown = sorted(set(values) ^ set(_MULAN_SECTIONS))
    require(not unknown, f"MuQ-MuLan config sections missing or unknown: {', '.join(unknown)}")
    mulan = _with_defaults("mulan", values["mulan"], _MULAN_DEFAULTS)
    audio = _with_defaults("audio_model", values["audio_model"], _MODAL_DEFAULTS)
    text_model = _with_defaults("text_model", values["text_model"], _MODAL_DEFAULTS)
    require(mulan["sr"] == muq.mel.sample_rate_hz, f"sr must be 24000, not {mulan['sr']}")
    clip_s = mulan["clip_secs"]
    require(clip_s == int(clip_s), f"clip_secs must be whole seconds, not {clip_s}")
    require(
        not mulan["hierarchical_contrastive_loss"], "hierarchical_contrastive_loss is not supported"
    )
    width = muq.conformer.width
    require(
        audio["model_dim"] == width,
        f"audio_model.model_dim {audio['model_dim']} is not MuQ's width {width}",
    )
    text_transformer = _read_transformer("text_transformer", values["text_transformer"])
    projected = text_model["model_dim"] not in (None, text_transformer.dim)
    require(
        not projected or text_model["model_dim"] == text.width,
        f"text_model.model_dim {text_model['model_dim']} is not the encoder's width {text.width}",
    )
    return MuQMuLanConfig(
        muq=muq,
        audio_layer_index=audio["use_layer_idx"],
        audio_transformer=_read_transformer("audio_transformer", values["audio_transformer"]),
        text=text,
        text_width=text.width,
        text_projection=projected,
        text_transformer=text_transformer,
        embed_dim=mulan["dim_latent"],
        clip_s=int(clip_s),
        contrastive=_read_contrastive(mulan),
    )


def write_mulan(config: MuQMuLanConfig, audio_name: str, text_name: str) -> dict[str, Any]:
    """The published values of a MuQ-MuLan configuration that refers to its parts by these names."""
    require(config.text is not None, "the published layout needs a configured text encoder")
    values = {
        "mulan": {
            **_MULAN_DEFAULTS,
            "clip_secs": config.clip_s,
            "dim_latent": config.embed_dim,
            "decoupled_contrastive_learning": config.contrastive == "decoupled",
            "sigmoid_contrastive_loss": config.contrastive == "sigmoid",
        },
        "audio_model": {
            "name": audio_name,
            "model_dim": config.muq.conformer.width,
            "use_layer_idx": config.audio_layer_index,
        },
        "text_model": {
            "name": text_name,
            "model_dim": config.text_width if config.text_projection else None,
            "use_layer_idx": -1,
        },
        "audio_transformer": _write_transformer(config.audio_transformer),
        "text_transformer": {**_write_transformer(config.text_transformer), "max_seq_len": 1024},
    }
    assert config.text is not None
    require(
        read_mulan(values, config.muq, config.text) == config,
        "the published layout cannot express this MuQ-MuLan's shape",
    )
    return values


def _read_mel(full: Values) -> MelConfig:
    stat = full["stat"]
    return MelConfig(
        hop_samples=full["hop_length"],
        mel_bins=full["n_mels"],
        mean_db=_get(stat, f"{MEL}_mean"),
        std_db=_get(stat, f"{MEL}_std"),
    )


def _read_rvq(full: Values) -> MelRVQConfig:
    return MelRVQConfig(
        input_dim=MEL_BINS * (100 // full["label_rate"]),
        codebooks=full["rvq_n_codebooks"],
        codebook_size=RVQ_CODES,
        codebook_dim=RVQ_CODE_DIM,
        projection_layers=full["rvq_multi_layer_num"],
    )


def _read_conformer(full: Values) -> ConformerConfig:
    """The layers' shape; `num_hidden_layers` and `hidden_size` are overridden by MuQ's own."""
    values = full["w2v2_config"]
    positions = _get(values, "position_embeddings_type")
    require(
        positions in ("rotary", None), f"position_embeddings_type {positions!r} is not supported"
    )
    return ConformerConfig(
        width=full["encoder_dim"],
        layers=full["encoder_depth"],
        heads=_get(values, "num_attention_heads"),
        feed_forward=_get(values, "intermediate_size"),
        depthwise_kernel=_get(values, "conv_depthwise_kernel_size"),
        activation=_read_activation(values),
        rotary=positions == "rotary",
        rotary_base=values.get("rotary_embedding_base", 10_000),
        norm_eps=_get(values, "layer_norm_eps"),
        hidden_dropout=_get(values, "hidden_dropout"),
        attention_dropout=_get(values, "attention_dropout"),
        activation_dropout=_get(values, "activation_dropout"),
        conv_dropout=_get(values, "conformer_conv_dropout"),
        layer_drop=_get(values, "layerdrop"),
        position_kernel=_get(values, "num_conv_pos_embeddings"),
        position_groups=_get(values, "num_conv_pos_embedding_groups"),
    )


def _write_conformer(config: ConformerConfig) -> dict[str, Any]:
    return {
        "model_type": "wav2vec2-conformer",
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward,
        "conv_depthwise_kernel_size": config.depthwise_kernel,
        "hidden_act": config.activation,
        "feat_extract_activation": "gelu",
        "position_embeddings_type": "rotary" if config.rotary else None,
        "rotary_embedding_base": config.rotary_base,
        "max_source_positions": 5000,
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout": config.hidden_dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "conformer_conv_dropout": config.conv_dropout,
        "layerdrop": config.layer_drop,
        "num_conv_pos_embeddings": config.position_kernel,
        "num_conv_pos_embedding_groups": config.position_groups,
    }


def _read_transformer(section: str, values: Values) -> TransformerConfig:
    defaults = dict(_TRANSFORMER_DEFAULTS)
    if section == "text_transformer":
        defaults["max_seq_len"] = 1024  # read by nothing: texts are not cut
    full = _with_defaults(section, values, defaults)
    return TransformerConfig(
        dim=full["dim"],
        depth=full["tf_depth"],
        heads=full["heads"],
        head_dim=full["dim_head"],
        feed_forward_mult=full["ff_mult"],
        attention_dropout=full["attn_dropout"],
        feed_forward_dropout=full["ff_dropout"],
    )


def _write_transformer(config: TransformerConfig) -> dict[str, Any]:
    return {
        "dim": config.dim,
        "tf_depth": config.depth,
        "heads": config.heads,
        "dim_head": config.head_dim,
        "ff_mult": config.feed_forward_mult,
        "attn_dropout": config.attention_dropout,
        "ff_dropout": config.feed_forward_dropout,
    }


def _read_contrastive(mulan: Values) -> ContrastiveKind:
    if mulan["sigmoid_contrastive_loss"]:
        return "sigmoid"
    return "decoupled" if mulan["decoupled_contrastive_learning"] else "softmax"


def _read_activation(values: Values) -> Any:
    name = _get(values, "hidden_act")
    known = ("swish", "silu", "gelu", "relu")
    require(name in known, f"hidden_act {name!r} is not one of {', '.join(known)}")
    return name


def _with_defaults(section: str, values: Values, defaults: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(values) - set(defaults))
    require(not unknown, f"unknown fields in {section} config: {', '.join(unknown)}")
    return {**defaults, **values}


def _get(values: Values, name: str) -> Any:
    if name not in values:
        raise ConfigError(f"config lacks the field {name}")
    return values[name]
