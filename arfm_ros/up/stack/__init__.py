"""The processes of the stack: started, watched, stopped in order."""
