"""Batches drawn elsewhere than in an iteration of their loader: by the processes of an engine."""
