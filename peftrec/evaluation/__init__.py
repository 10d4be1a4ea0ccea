"""Metrics, intervals, and a model's predictions held against the labels."""
