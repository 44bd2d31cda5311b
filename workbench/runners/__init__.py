"""Runners: how the jobs of a stage are run. One file is one runner."""
