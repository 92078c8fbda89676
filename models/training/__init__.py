"""Training: recipes, corpora, objectives and loops for every network of `models`."""
