"""The pretrained text side of MuQ-MuLan: tokenizer, sentence encoder, and its converter."""
