"""peftrec: several recommendation signals co-learned on one frozen, quantised language model."""
