"""`arfm up`: start the stack's processes, watch them, report, and leave nothing behind."""
