"""Benchmarks: whole-sequence gradients of one fixed piece of work, by several systems.

``python -m bench`` runs them; ``bench/README.md`` says what is compared. Every contender runs
in a process of its own and reads the same numbers from one file.
"""
