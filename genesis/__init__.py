"""The beginnings of chains: genesis files, the registered chains' facts, and the dev chain."""
