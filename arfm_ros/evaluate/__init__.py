"""How well a policy does: many headless episodes, delays, comparisons."""
