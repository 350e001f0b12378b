"""What `./arfm` does before its verb: an environment with what the verb needs.

The standard library only: nothing is installed yet.
"""
