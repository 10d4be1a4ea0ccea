"""Rows in, answers out: a run in memory that predicts and recommends."""
