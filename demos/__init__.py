"""Demos: small ones of one file each, and the tour. See README.md."""
