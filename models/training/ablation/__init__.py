"""The comparisons of the paper at a size of one's own: targets, iteration, pre-training."""
