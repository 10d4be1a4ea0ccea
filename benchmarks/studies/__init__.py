"""Measurements that are no cells: each a module, those that an experiment names started as a process of its own."""
