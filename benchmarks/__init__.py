"""Speed and quality, measured: each module prints one table and is run by `make bench`."""
