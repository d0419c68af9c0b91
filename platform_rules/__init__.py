"""What chutes.ai requires of a deployment: for `make preflight`, and for the rehearsal's stand-in of its API server."""
