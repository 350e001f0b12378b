"""Action chunks: how they are admitted, played and follow on."""
