"""Vision-language-action models of other libraries."""
