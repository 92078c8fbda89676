"""Readers of public music data sets, as people download them: folders in, manifests out."""
