"""What the shipped recipe of each field is worth on real data, beside a few lines of scikit-learn on the same rows."""
