"""What cream-store costs beside its peers, measured in one run on the same rows. See docs/performance.md."""
