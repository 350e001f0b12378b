"""Many robots, one training machine: episodes go to a store, bundles come from it."""
