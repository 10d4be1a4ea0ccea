"""Texts with times in, alarms out: windows by topic, in which a label is held against what it used to be."""
