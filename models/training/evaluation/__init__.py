"""Evaluations of a bundle that a user can run, and the committed data that they judge by."""
