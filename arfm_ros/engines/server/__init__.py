"""A policy on a server."""
