"""How each kind of controller is commanded: one file a kind, found by `registry`."""
