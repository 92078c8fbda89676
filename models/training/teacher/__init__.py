"""A published music tagger, ported: it labels clips for distillation and serves as a baseline."""
