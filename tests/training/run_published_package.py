"""Run by an interpreter that has the package `muq`: load an exported folder, write what it gives.

    python run_published_package.py FOLDER INPUTS OUT

FOLDER holds muq/, xlm-roberta/ and the joint model, and is the working directory, because the
joint model's config names the other two. INPUTS and OUT are safetensors files.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from muq import MuQ, MuQMuLan
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast


def main(folder: str, inputs: str, out: str) -> None:
    os.chdir(folder)
    given = load_file(inputs)
    muq, mulan = MuQ.from_pretrained("muq").eval(), MuQMuLan.from_pretrained(".").eval()
    mulan.mulan_module.text._tokenizer = PreTrainedTokenizerFast(
        tokenizer_file="xlm-roberta/tokenizer.json", pad_token="</s>"
    )
    texts = json.loads(Path("texts.json").read_text("utf-8"))
    with torch.no_grad():
        answers = {
            "muq": muq(given["audio"]).last_hidden_state,
            "audio": mulan(wavs=given["audio"]),
            # Padding changes this package's vectors, so each text goes alone.
            "text": torch.cat([mulan(texts=[text]) for text in texts]),
        }
    # Its loader takes missing tensors without a word: these must be the ones that were written.
    written = load_file("model.safetensors")
    loaded = mulan.state_dict()
    differing = [n for n, value in written.items() if not torch.equal(loaded[n], value)]
    missing = sorted(set(loaded) - set(written))
    report = json.dumps({"differing": differing, "missing": missing})
    Path(out + ".json").write_text(report, "utf-8")
    save_file({name: value.contiguous() for name, value in answers.items()}, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
