"""Who runs the shards of a plan. An engine knows nothing of formats."""
