"""The networks: Mel-RVQ, MuQ and MuQ-MuLan, with their shapes and maskings."""
