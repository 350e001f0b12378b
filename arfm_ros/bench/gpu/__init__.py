"""One prepared run for a machine with a GPU: `arfm bench gpu`. Every part is its own process."""
