"""What a task is: its rows, head, losses, measures and priors. `kinds.KINDS` is where to add a kind."""
