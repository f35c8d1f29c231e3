"""Programs for people: the command line, the web page, the demonstration and the reports."""
