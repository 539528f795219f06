"""The run file: its tables, how it is written and read, and the words that stand in it."""
