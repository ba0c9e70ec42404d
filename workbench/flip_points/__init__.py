"""Flip points: the closest input where a classifier changes its mind."""
