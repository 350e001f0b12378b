"""Where the parts of an arm are, and how to bring them somewhere."""
