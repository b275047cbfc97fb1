"""Where chains begin: genesis files, the registered chains' facts, and the dev chain."""
