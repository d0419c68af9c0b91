"""From texts to predictions; knows nothing of HTTP."""

import os

# How many times a thread of OpenMP's looks for its next order before it sleeps. libgomp's 300,000 take milliseconds,
# which are lost to everything else after each pass: one client's single texts, bundled model, two cores, come at 170
# instead of 130 a second. libgomp reads this when torch is imported, so it is set here; what a deployer has set stands.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
