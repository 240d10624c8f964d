"""Reports, plots and comparisons of runs."""
