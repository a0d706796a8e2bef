"""The tour: every way of keeping state between requests, one page each, and what happens underneath.

``python -m demos.tour`` serves it at http://127.0.0.1:8888/ with the sessions in memory; ``--help`` tells the rest.
"""
