"""A long run under mixed traffic with faults at random: `make soak`."""
