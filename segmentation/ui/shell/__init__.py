"""What all pages share: their frame, the choice of data set and run, what may be read, and how things are said."""
