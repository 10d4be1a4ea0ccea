"""The HTTP service: runs behind standard endpoints, swapped under load (extra `serve`)."""
