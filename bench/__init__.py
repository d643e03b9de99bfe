"""The benchmark suite: how much Nexus costs beside a direct call, nginx and peers, in one run."""
