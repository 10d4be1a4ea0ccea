"""Pages and figures of docs/results from results/*.json: nothing is measured here."""
