"""Side-by-side runs: peers.py starts servers, measures.py loads them, verdict.py judges."""
