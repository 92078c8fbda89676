"""Fine-tuning of a bundle on a person's own library: what it takes, how it learns, what it says."""
