"""Probing in the MARBLE protocol: frozen features, a learned mix of layers, a small head."""
