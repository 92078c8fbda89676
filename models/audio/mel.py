"""Log-mel front end in torch.

Legend: B batch, T samples, F frames, M mel bins.
"""

import numpy as np
import torch
from torch import Tensor, nn

from models.audio.filterbank import mel_filterbank
from models.audio.samples import AMPLITUDE_FLOOR, check_sample_count
from models.errors import InputError, NonFiniteAudioError
from models.networks.config import MelConfig


class LogMel(nn.Module):
    """Audio [B, T] to normalised log-mel frames [B, M, F], F = T // hop.

    Power spectrogram (periodic Hann window, centred frames, reflect padding), HTK mel filters,
    decibels floored at -100, minus the mean and over the deviation of the configuration. The
    frame past the end that centring adds is dropped, so that a second is exactly 100 frames.
    Agrees with torchaudio's MelSpectrogram and AmplitudeToDB as MuQ uses them.

    It keeps no tensors in its state and always computes in float32, whatever the precision of the
    network around it: casting a network to bfloat16 must not round the filters. No gradient
    reaches the audio, as published.
    """

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        self._constants: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def forward(self, audio: Tensor) -> Tensor:
        """Normalised log-mel frames [B, M, F] of audio [B, T]."""
        return self.normalise(self.decibels(audio))

    @torch.no_grad()
    def decibels(self, audio: Tensor) -> Tensor:
        """Log-mel frames [B, M, F] in dB, before normalisation."""
        check_audio(audio, self.config.min_samples)
        window, filters = self._constants_on(audio.device)
        with torch.autocast(audio.device.type, enabled=False):
            spectrum = torch.stft(
                audio.float(),
                n_fft=self.config.fft_samples,
                hop_length=self.config.hop_samples,
                window=window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )
            frames = audio.shape[-1] // self.config.hop_samples
            power = spectrum[..., :frames].abs().square()
            mel = torch.matmul(filters, power)
            return 10.0 * torch.log10(mel.clamp(min=AMPLITUDE_FLOOR))

    def normalise(self, decibels: Tensor) -> Tensor:
        """Frames in dB as the networks read them."""
        return (decibels - self.config.mean_db) / self.config.std_db

    def _constants_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._constants:
            window = torch.hann_window(self.config.fft_samples, dtype=torch.float32)
            filters = torch.from_numpy(np.ascontiguousarray(mel_filterbank(self.config).T))
            self._constants[device] = (window.to(device), filters.to(device))
        return self._constants[device]


def check_audio(audio: Tensor, min_samples: int) -> None:
    """Raise InputError unless audio [..., T] is long enough, floating point and finite."""
    if not audio.is_floating_point():
        raise InputError(f"audio must be floating point in [-1, 1], not {audio.dtype}")
    check_sample_count(audio.shape[-1] if audio.numel() else 0, min_samples)
    if not bool(torch.isfinite(audio).all()):
        raise NonFiniteAudioError("audio holds NaN or infinite samples")
