"""The loop and what surrounds it. `loop.py` is the loop; everything else serves one line of it."""
