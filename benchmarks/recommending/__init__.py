"""peftrec's next item, and its interest, beside well-known recommenders on the same rows."""
