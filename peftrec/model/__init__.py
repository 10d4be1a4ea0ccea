"""The frozen model and what is trained: backbone, cache, adapters, encoder, co-learner, probe."""
