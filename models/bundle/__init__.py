"""Model bundles: one folder with weights, tokenizer, configuration, licence and identity.

`manifest` says what a bundle holds, `writing` and `reading` put it on disk and check it, `loading`
finds one by name and gives an encoder; `onnx_towers` and `torch_towers` run it, `exporting` and
`making` build one from a trained network, `pulling` fetches a published one when asked to.
Nothing here is loaded before it is used, and only the torch parts import torch.
"""
