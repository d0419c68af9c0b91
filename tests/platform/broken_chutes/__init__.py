"""Chutes that each make one mistake which dev mode hides, so that the rehearsal can be seen to catch it."""
