"""What a training leaves: the run folder, its only reader and writer; checkpoints, cards, comparisons, reports.

folder.py       the folder itself: written whole or not at all, verified before it is read
saved.py        a run's files, and the model that comes back from them
checkpoints.py  the checkpoints of a run that is being trained
evaluate.py     a run measured again
metric_rows.py  a task's report as rows for people
cards.py  compare.py  report/
"""
