"""The score card: many data sets with default recipes, beside independent baselines of a few lines of scikit-learn."""
