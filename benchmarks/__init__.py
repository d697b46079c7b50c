"""What is measured, against what, in one run: interleaved, by medians, as ratios."""
